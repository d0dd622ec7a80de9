// The page: a patient's files in, an answer out. What the service says is shown where it belongs.
import { ask, askJson, follow, Problem, whenTokenIsWanted } from "./service.js";

const $ = (id) => document.getElementById(id);
const ROLES = {
  segmentation: "segmentation",
  core_mask: "core mask",
  whole_mask: "whole-tumour mask",
  t1: "T1",
  t1c: "T1 with contrast",
  pet: "FET-PET",
  white: "white matter",
  grey: "grey matter",
};
let chosen = []; // {file, role}
let stores = [];
let viewer = null;
let job = null;

whenTokenIsWanted(
  () =>
    new Promise((given) => {
      const dialog = $("token-dialog");
      $("token").value = "";
      dialog.addEventListener("close", () => given($("token").value), { once: true });
      dialog.showModal();
    }),
);

// ---- a patient's files

/** Guess what a file is from its name. */
function roleOf(name) {
  const plain = name.toLowerCase();
  if (/seg|label|mask/.test(plain)) {
    if (/core/.test(plain)) return "core_mask";
    return /whole|flair/.test(plain) ? "whole_mask" : "segmentation";
  }
  if (/t1c|t1ce|t1gd|t1_?post/.test(plain)) return "t1c";
  if (/t1/.test(plain)) return "t1";
  return /pet/.test(plain) ? "pet" : "segmentation";
}

function take(files) {
  for (const file of files) {
    const role = roleOf(file.name);
    chosen = chosen.filter((one) => one.role !== role);
    chosen.push({ file, role });
  }
  listFiles();
  look();
}

function listFiles() {
  $("chosen").replaceChildren(
    ...chosen.map((one, n) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.textContent = name.title = one.file.name;
      const role = document.createElement("select");
      role.setAttribute("aria-label", `What ${one.file.name} is`);
      role.append(...Object.entries(ROLES).map(([value, text]) => new Option(text, value, false, value === one.role)));
      role.addEventListener("change", () => {
        one.role = role.value;
        look();
      });
      const away = document.createElement("button");
      away.type = "button";
      away.textContent = "Remove";
      away.setAttribute("aria-label", `Remove ${one.file.name}`);
      away.addEventListener("click", () => {
        chosen.splice(n, 1);
        listFiles();
        look();
        $("files").focus();
      });
      item.append(name, role, away);
      return item;
    }),
  );
}

function form(fields) {
  const data = new FormData();
  for (const { file, role } of chosen) if (!fields.files || fields.files.includes(role)) data.set(role, file, role);
  for (const name of fields.options) {
    const value = $(name).value.trim();
    if (value !== "") data.set(name, value);
  }
  return data;
}

function sayFaults(problem) {
  for (const place of document.querySelectorAll(".fault")) place.textContent = "";
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  if (!problem) return;
  const isFile = problem.field in ROLES;
  const place = isFile ? $("fault-files") : ($(`fault-${problem.field}`) ?? $("fault"));
  place.textContent = problem.message;
  const input = isFile ? $("files") : $(problem.field);
  place.closest("details")?.setAttribute("open", "");
  if (input && place !== $("fault")) {
    input.setAttribute("aria-invalid", "true");
    if (document.activeElement === $("send")) input.focus();
  }
}

let looking = 0;

/** Have the service say what it understands, before anything is asked. */
async function look() {
  const turn = ++looking;
  sayFaults(null);
  $("understood").hidden = true;
  $("send").disabled = !chosen.length;
  if (chosen.some((one) => one.role === "t1" || one.role === "t1c")) $("space").value = "";
  if (!chosen.some((one) => ["segmentation", "whole_mask"].includes(one.role))) return;
  try {
    const files = ["segmentation", "core_mask", "whole_mask"];
    const told = await askJson("v1/previews", { method: "POST", body: form({ files, options: ["core", "whole"] }) });
    if (turn === looking) showUnderstood(told);
  } catch (error) {
    if (turn === looking) sayFaults(error);
  }
}

function showUnderstood(told) {
  const facts = [
    ["Volume", `whole ${told.volumes_ml.whole} ml, core ${told.volumes_ml.core} ml`],
    ["Grid", `${told.shape.join(" × ")} voxels of ${told.spacing_mm.join(" × ")} mm, ${told.orientation}`],
  ];
  if (Object.keys(told.labels).length) {
    const meaning = (label) => (told.core_labels.includes(+label) ? "core" : told.whole_labels.includes(+label) ? "oedema" : "left out");
    facts.unshift(["Labels", Object.keys(told.labels).map((label) => `${label} ${meaning(label)}`).join(", ")]);
  }
  $("facts").replaceChildren(
    ...facts.flatMap(([name, text]) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: text }),
    ]),
  );
  $("thumbnail").src = `data:image/png;base64,${told.thumbnail_png}`;
  $("thumbnail").alt = `Three planes through the tumour: ${facts.map((fact) => fact.join(" ")).join("; ")}`;
  $("doubts").replaceChildren(...told.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  $("understood").hidden = false;
}

async function takeExample() {
  $("example").disabled = true;
  $("files-hint").textContent = "Making the example: a few seconds, the first time …";
  try {
    const files = await Promise.all(
      ["segmentation", "t1"].map(async (name) => new File([await (await ask(`v1/example/${name}`)).blob()], `example-${name}.nii.gz`)),
    );
    take(files);
  } catch (error) {
    sayFaults(error);
  } finally {
    $("example").disabled = false;
    $("files-hint").textContent = "A segmentation, and a skull-stripped T1 or T1c if there is one.";
  }
}

// ---- a job

async function send(event) {
  event.preventDefault();
  sayFaults(null);
  $("send").disabled = true;
  try {
    const options = ["space", "refine", "core", "whole", "method", "top_k", ...(stores.length > 1 ? ["store"] : [])];
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
  try {
    const first = await askJson(`v1/queries/${name}`);
    if (first.status !== "done") {
      showPart("progress");
      $("progress-title").focus();
    }
    const ended = first.status === "done" ? first : await follow(name, showProgress);
    if (job !== name) return;
    if (ended.status === "done") await showAnswer(ended);
    else backTo(ended.status === "cancelled" ? new Problem({ detail: "the query was stopped" }) : new Problem(ended.problem));
  } catch (error) {
    if (job === name) backTo(error);
  }
}

function backTo(problem) {
  job = null;
  history.replaceState(null, "", location.pathname);
  showPart("ask");
  $("send").disabled = !chosen.length;
  $("send").focus();
  sayFaults(problem);
}

function showProgress(told) {
  $("now").textContent = { queued: "Waiting for its turn", running: `At ${told.stage}` }[told.status] ?? told.status;
  $("stages").replaceChildren(
    ...told.stages.map(([stage], n) => {
      const item = Object.assign(document.createElement("li"), { textContent: stage });
      if (n === told.stages.length - 1) item.setAttribute("aria-current", "step");
      return item;
    }),
  );
}

// ---- the answer

let maps = {};

async function fileOf(name) {
  maps[name] ??= ask(`v1/queries/${job}/files/${name}`).then((response) => response.arrayBuffer());
  return maps[name];
}

async function showAnswer(told) {
  maps = {};
  const answer = await askJson(`v1/queries/${job}/result`);
  showPart("answer");
  $("answer-title").focus();
  const { whole, core, score } = answer.patient_space;
  const refined = answer.refinement ? `, refined by ${answer.refinement.method}` : "";
  $("summary").textContent =
    `Tumour ${answer.matches[0].id} of ${answer.store.tumours.toLocaleString("en")}${refined}. In the patient: Dice of the whole ` +
    `${whole.toFixed(3)}, of the core ${core.toFixed(3)}, in sum ${score.toFixed(3)}.`;
  $("warnings").replaceChildren(...answer.warnings.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  listMatches(answer, told.files);
  listDownloads(told.files);
  $("level").value = answer.thresholds.whole;
  $("shown").value = "density";
  tellSliders();
  $("view-told").textContent = "Loading the scan …";
  const { Viewer } = await import("./viewer.js");
  if (!viewer) {
    viewer = new Viewer($("canvas"));
    await viewer.start();
    viewer.moved = tellPlanes;
  }
  await viewer.show(await fileOf("scan.nii.gz"), await fileOf("density.nii.gz"), await fileOf("patient.nii.gz"));
  viewer.opacity = +$("opacity").value;
  viewer.level = +$("level").value;
  tellPlanes(viewer.place);
  $("view-told").textContent = "";
  $("legend").hidden = false;
  document.body.dataset.shown = "answer";
}

const COLUMNS = [
  ["rank", (m) => m.rank],
  ["score", (m) => m.score.toFixed(3)],
  ["whole", (m) => m.dice_whole.toFixed(3)],
  ["core", (m) => m.dice_core.toFixed(3)],
  ["D, mm²/day", (m) => m.parameters?.diffusivity.toFixed(3) ?? "–"],
  ["ρ, 1/day", (m) => m.parameters?.proliferation.toFixed(4) ?? "–"],
  ["T, days", (m) => m.parameters?.duration.toFixed(0) ?? "–"],
];

function listMatches(answer, files) {
  const head = (text) => Object.assign(document.createElement("th"), { textContent: text, scope: "col" });
  $("columns").replaceChildren(head("show"), ...COLUMNS.map(([name]) => head(name)));
  const row = (label, file, cells) => {
    const line = document.createElement("tr");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    button.setAttribute("aria-label", `Show ${label === "answer" ? "the answer" : `match ${label}`}`);
    button.disabled = !files.includes(file);
    button.addEventListener("click", () => choose(line, file));
    const first = document.createElement("td");
    first.append(button);
    line.append(first, ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  };
  const lines = answer.matches.map((m) => row(`${m.rank}`, `match-${m.rank}.nii.gz`, COLUMNS.map(([, of]) => of(m))));
  lines.unshift(row("answer", "density.nii.gz", COLUMNS.map(() => "")));
  lines[0].setAttribute("aria-current", "true");
  $("matches").replaceChildren(...lines);
}

async function choose(line, file) {
  for (const other of $("matches").children) other.removeAttribute("aria-current");
  line.setAttribute("aria-current", "true");
  $("shown").value = "density";
  await showMap(file);
}

async function showMap(file) {
  try {
    const high = file === "deviation.nii.gz" ? 0.3 : 1;
    await viewer.replace(await fileOf(file), { colormap: file === "deviation.nii.gz" ? "plasma" : "viridis", high });
    document.body.dataset.map = file;
  } catch (error) {
    sayFaults(error);
  }
}

function listDownloads(files) {
  const named = files.filter((name) => !/^(match-|scan|patient)/.test(name));
  $("downloads").replaceChildren(
    ...named.map((name) => {
      const item = document.createElement("li");
      const link = Object.assign(document.createElement("a"), { href: "#", textContent: name });
      link.addEventListener("click", (event) => {
        event.preventDefault();
        download(name);
      });
      item.append(link);
      return item;
    }),
  );
}

/** Fetch a file with the token, and hand it to the browser. */
async function download(name) {
  const blob = await (await ask(`v1/queries/${job}/files/${name}`)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function tellSliders() {
  $("opacity-told").textContent = (+$("opacity").value).toFixed(2);
  $("level-told").textContent = (+$("level").value).toFixed(2);
}

function tellPlanes([x, y, z]) {
  $("plane-x").value = x;
  $("plane-y").value = y;
  $("plane-z").value = z;
}

// ---- beginning

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
  for (const name of ["core", "whole"]) $(name).addEventListener("change", look);
  $("cancel").addEventListener("click", () => ask(`v1/queries/${job}/cancel`, { method: "POST" }).catch(backTo));
  $("opacity").addEventListener("input", () => {
    tellSliders();
    viewer.opacity = +$("opacity").value;
  });
  $("level").addEventListener("input", () => {
    tellSliders();
    viewer.level = +$("level").value;
  });
  for (const name of ["patient", "model"]) {
    $(`outline-${name}`).addEventListener("change", () =>
      viewer.outline({ patient: $("outline-patient").checked, model: $("outline-model").checked }),
    );
  }
  ["x", "y", "z"].forEach((axis) =>
    $(`plane-${axis}`).addEventListener("input", () => {
      viewer.place = ["x", "y", "z"].map((one) => +$(`plane-${one}`).value);
    }),
  );
  $("shown").addEventListener("change", () => showMap(`${$("shown").value}.nii.gz`));
  $("link").addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    $("done-told").textContent = "Copied.";
  });
  $("delete").addEventListener("click", async () => {
    await ask(`v1/queries/${job}`, { method: "DELETE" });
    location.hash = "";
  });
  $("again").addEventListener("click", () => (location.hash = ""));
  addEventListener("hashchange", route);
  try {
    stores = await askJson("v1/stores");
    const told = (one) => `${one.name}: ${one.tumours.toLocaleString("en")} tumours, version ${one.version}`;
    $("store-facts").textContent = stores.map(told).join(" · ");
    $("store").replaceChildren(...stores.map((one) => new Option(told(one), one.name)));
    $("store-row").hidden = stores.length < 2;
    $("method").replaceChildren(...stores[0].methods.map((name) => new Option(name, name)));
  } catch (error) {
    $("store-facts").textContent = error.message;
  }
  route();
}

function route() {
  const name = location.hash.slice(1);
  delete document.body.dataset.shown;
  if (name) openJob(name);
  else {
    job = null;
    showPart("ask");
    $("send").disabled = !chosen.length;
  }
}

start();
