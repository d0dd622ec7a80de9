// The page: a patient's files in, an answer out. What the service says is shown where it belongs.
import { showAnswer, startAnswer } from "./answer.js";
import { $, element, sayFaults } from "./dom.js";
import { anyChosen, form, know, look, take, takeExample } from "./files.js";
import { ask, askJson, follow, Problem, whenTokenIsWanted } from "./service.js";

let stores = [];
let job = null; // the one that is followed or shown
let leaving = null; // aborted when another is, or none

whenTokenIsWanted(
  () =>
    new Promise((given) => {
      const dialog = $("token-dialog");
      $("token").value = "";
      dialog.addEventListener("close", () => given($("token").value), { once: true });
      dialog.showModal();
    }),
);

const OPTIONS = ["labels", "core_labels", "whole_labels", "space", "strip", "n4", "reorient", "refine", "index", "top_k"];

async function send(event) {
  event.preventDefault();
  sayFaults(null);
  $("send").disabled = true;
  try {
    const options = [...OPTIONS, ...(stores.length > 1 ? ["store"] : [])];
    const told = await askJson("v1/queries", { method: "POST", body: form({ options }) });
    location.hash = told.id;
  } catch (error) {
    $("send").disabled = false;
    $("send").focus();
    sayFaults(error);
  }
}

function showPart(name) {
  for (const part of ["ask", "progress", "answer"]) $(part).hidden = part !== name;
}

async function openJob(name) {
  job = name;
  leaving = new AbortController();
  try {
    const first = await askJson(`v1/queries/${name}`);
    if (first.status !== "done") {
      showPart("progress");
      $("progress-title").focus();
    }
    const ended = first.status === "done" ? first : await follow(name, showProgress, leaving.signal);
    if (job !== name) return;
    if (ended.status === "done") {
      showPart("answer");
      await showAnswer(ended);
    } else {
      backTo(new Problem(ended.status === "cancelled" ? { detail: "the query was stopped" } : ended.problem));
    }
  } catch (error) {
    if (job === name) backTo(error);
  }
}

function backTo(problem) {
  job = null;
  history.replaceState(null, "", location.pathname);
  showPart("ask");
  $("send").disabled = !anyChosen();
  $("send").focus();
  sayFaults(problem);
}

function showProgress(told) {
  $("now").textContent = { queued: "Waiting for its turn", running: `At ${told.stage}` }[told.status] ?? told.status;
  $("stages").replaceChildren(
    ...told.stages.map(([stage], n) => {
      const item = element("li", { textContent: stage });
      if (n === told.stages.length - 1) item.setAttribute("aria-current", "step");
      return item;
    }),
  );
}

async function start() {
  $("files").addEventListener("change", (event) => {
    take(event.target.files);
    event.target.value = "";
  });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      $("drop").classList.add("over");
    });
  }
  document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    if (!$("ask").hidden) take(event.dataTransfer.files);
  });
  $("example").addEventListener("click", takeExample);
  $("ask").addEventListener("submit", send);
  for (const name of ["labels", "core_labels", "whole_labels"]) $(name).addEventListener("change", look);
  $("cancel").addEventListener("click", () => {
    ask(`v1/queries/${job}/cancel`, { method: "POST" }).catch((error) => ($("now").textContent = error.message));
  });
  startAnswer();
  addEventListener("hashchange", route);
  try {
    stores = await askJson("v1/stores");
    const told = (one) => `${one.name}: ${one.tumours.toLocaleString("en")} tumours, version ${one.version}`;
    $("store-facts").textContent = stores.map(told).join(" · ");
    $("store").replaceChildren(...stores.map((one) => new Option(told(one), one.name)));
    $("store-row").hidden = stores.length < 2;
    $("index").replaceChildren(...stores[0].methods.map((name) => new Option(name, name)));
    const conventions = await askJson("v1/conventions");
    know(conventions);
    $("labels").append(...conventions.map((one) => new Option(inWords(one), one.name)));
  } catch (error) {
    $("store-facts").textContent = error.message;
  }
  route();
}

/** A convention of labels, with what each number means. */
function inWords({ title, meanings }) {
  return `${title}: ${Object.entries(meanings).map((pair) => pair.join(" ")).join(", ")}`;
}

function route() {
  const name = location.hash.slice(1);
  leaving?.abort();
  delete document.body.dataset.shown;
  if (name) openJob(name);
  else {
    job = null;
    showPart("ask");
    $("send").disabled = !anyChosen();
  }
}

start();
