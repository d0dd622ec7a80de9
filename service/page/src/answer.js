// An answer: what was found, on the patient's scan.
import { $, element } from "./dom.js";
import { ask, askJson } from "./service.js";

let viewer = null;
let job = null;
let maps = {};
let turn = 0; // of what is to be shown; what comes too late is not

async function fileOf(name) {
  maps[name] ??= ask(`v1/queries/${job}/files/${name}`).then((response) => response.arrayBuffer());
  try {
    return await maps[name];
  } catch (error) {
    delete maps[name]; // so that it can be tried again
    throw error;
  }
}

const DENSITY = { colormap: "viridis", high: 1, told: "density" };
const LOOKS = {
  deviation: { colormap: "plasma", high: 0.3, told: "standard deviation" },
  exceedance: { colormap: "viridis", high: 1, told: "probability" },
};

const viewOf = (name) => `view-${name}.nii.gz`;
const mapOf = (name) => fileOf(viewOf(name));

/** Show what a job has found; `told` is its last progress. */
export async function showAnswer(told) {
  job = told.id;
  maps = {};
  const mine = ++turn;
  const answer = await askJson(`v1/queries/${job}/result`);
  if (mine !== turn) return;
  $("answer-title").focus();
  const { whole, core, score } = answer.patient_space;
  const begin = answer.refinement ? `Refined by ${answer.refinement.method}, from tumour` : "Tumour";
  $("summary").textContent =
    `${begin} ${answer.matches[0].id} of ${answer.store.tumours.toLocaleString("en")}. In the patient: Dice of the whole ` +
    `${whole.toFixed(3)}, of the core ${core.toFixed(3)}, in sum ${score.toFixed(3)}.`;
  const items = (texts) => texts.map((text) => element("li", { textContent: text }));
  $("warnings").replaceChildren(...items(answer.warnings));
  $("warned").hidden = !answer.warnings.length;
  $("read-as").replaceChildren(...items(answer.summary));
  showBrain(told.files);
  listMatches(answer, told.files);
  listDownloads(told.files);
  $("level").value = answer.thresholds.whole;
  for (const option of $("shown").options) option.hidden = option.disabled = !told.files.includes(viewOf(option.value));
  $("shown").value = "density";
  tellSliders();
  $("view-told").textContent = "Loading the scan …";
  const { Viewer } = await import("./viewer.js");
  if (!viewer) {
    viewer = new Viewer($("canvas"));
    await viewer.start();
    viewer.moved = tellPlanes;
  }
  const files = await Promise.all(["scan", "density", "patient"].map(mapOf));
  if (mine !== turn) return;
  await viewer.show(...files, { opacity: +$("opacity").value, level: +$("level").value, ...DENSITY });
  tellScale(DENSITY);
  tellPlanes(viewer.place);
  $("view-told").textContent = "";
  $("legend").hidden = false;
  document.body.dataset.shown = "answer";
}

/** Show what was taken for the brain, where a skull was removed. */
async function showBrain(files) {
  const mine = turn;
  URL.revokeObjectURL($("brain-picture").src);
  $("brain").hidden = true;
  if (!files.includes("brain.png")) return;
  await attempt(async () => {
    const blob = new Blob([await fileOf("brain.png")], { type: "image/png" });
    if (mine !== turn) return;
    $("brain-picture").src = URL.createObjectURL(blob);
    $("brain").hidden = false;
  });
}

const COLUMNS = [
  ["score", (m) => m.score.toFixed(3)],
  ["whole", (m) => m.dice_whole.toFixed(3)],
  ["core", (m) => m.dice_core.toFixed(3)],
  ["D, mm²/day", (m) => m.parameters?.diffusivity.toFixed(3) ?? "–"],
  ["ρ, 1/day", (m) => m.parameters?.proliferation.toFixed(4) ?? "–"],
  ["T, days", (m) => m.parameters?.duration.toFixed(0) ?? "–"],
];
const PUSHING = ["γ, kPa", (m) => (m.parameters ? (m.parameters.mass_effect / 1000).toFixed(1) : "–")];

function listMatches(answer, files) {
  const pushing = answer.matches.some((m) => m.parameters?.mass_effect);
  const columns = pushing ? [...COLUMNS, PUSHING] : COLUMNS;
  const head = (text) => element("th", { textContent: text, scope: "col" });
  $("columns").replaceChildren(head("rank"), ...columns.map(([name]) => head(name)));
  const row = (label, map, cells) => {
    const line = document.createElement("tr");
    const button = element("button", { type: "button", textContent: label });
    button.setAttribute("aria-label", `Show ${label === "answer" ? "the answer" : `match ${label}`}`);
    button.disabled = !files.includes(viewOf(map));
    button.addEventListener("click", () => choose(line, map));
    const first = document.createElement("td");
    first.append(button);
    line.append(first, ...cells.map((text) => element("td", { textContent: text })));
    return line;
  };
  const lines = answer.matches.map((m) => row(`${m.rank}`, `match-${m.rank}`, columns.map(([, of]) => of(m))));
  lines.unshift(row("answer", "density", columns.map(() => "")));
  lines[0].setAttribute("aria-current", "true");
  $("matches").replaceChildren(...lines);
}

async function choose(line, map) {
  for (const other of $("matches").children) other.removeAttribute("aria-current");
  line.setAttribute("aria-current", "true");
  $("shown").value = "density";
  await showMap(map);
}

const showMap = (map) =>
  attempt(async () => {
    const mine = ++turn;
    const buffer = await mapOf(map);
    if (mine !== turn) return;
    const look = LOOKS[map] ?? DENSITY;
    await viewer.replace(buffer, look);
    tellScale(look);
    document.body.dataset.map = map;
  });

/** Do something with the answer, and say beside it what goes wrong. */
async function attempt(action) {
  $("fault-answer").textContent = "";
  try {
    await action();
  } catch (error) {
    $("fault-answer").textContent = error.message;
  }
}

function listDownloads(files) {
  const named = files.filter((name) => !name.startsWith("view-"));
  $("downloads").replaceChildren(
    ...named.map((name) => {
      const item = document.createElement("li");
      const link = element("a", { href: "#", textContent: name });
      link.addEventListener("click", (event) => {
        event.preventDefault();
        attempt(() => download(name));
      });
      item.append(link);
      return item;
    }),
  );
}

/** Fetch a file with the token, and hand it to the browser. */
async function download(name) {
  const blob = await (await ask(`v1/queries/${job}/files/${name}`)).blob();
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function tellScale({ colormap, high, told }) {
  $("scale-of").textContent = told;
  $("scale-high").textContent = high;
  $("scale-bar").style.backgroundImage = viewer.gradient(colormap);
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

/** Have the answer's sliders, boxes and buttons do what they say. */
export function startAnswer() {
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
  $("shown").addEventListener("change", () => showMap($("shown").value));
  $("link").addEventListener("click", async () => {
    // browsers lend the clipboard to pages of this machine and of https alone
    const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
    $("done-told").textContent = copied ? "Copied." : location.href;
  });
  $("delete").addEventListener("click", () =>
    attempt(async () => {
      await ask(`v1/queries/${job}`, { method: "DELETE" });
      location.hash = "";
    }),
  );
  $("again").addEventListener("click", () => (location.hash = ""));
}
