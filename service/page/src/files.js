// A patient's files: taken, listed, and looked at by the service before anything is asked.
import { $, ROLES, element, sayFaults } from "./dom.js";
import { ask, askJson } from "./service.js";

let chosen = []; // {file, role}
let dataSets = []; // regular expressions of what files of data sets are called

/** Take the conventions of labels that the service knows; what a browser cannot read of a pattern is passed over. */
export function know(conventions) {
  dataSets = conventions.flatMap(({ files }) =>
    files.flatMap((pattern) => {
      try {
        return [new RegExp(pattern, "i")];
      } catch {
        return [];
      }
    }),
  );
}

/** What a name tells of a data set, by which its labels are known; the rest of it is not sent. */
function dataSetIn(name) {
  return dataSets.map((pattern) => name.match(pattern)?.[0]).find(Boolean);
}

export function anyChosen() {
  return chosen.length > 0;
}

/** Guess what a file is from its name; nothing for an MRI that is of no use. */
function roleOf(name) {
  const plain = name.toLowerCase();
  if (/seg|label|mask/.test(plain)) {
    if (/core/.test(plain)) return "core_mask";
    return /whole|flair/.test(plain) ? "whole_mask" : "seg";
  }
  if (/t1[-_. ]?(c|gd|ce|km|post|contrast)(?![a-z])/.test(plain)) return "t1c";
  if (/t1|mprage/.test(plain)) return "t1";
  if (/pet/.test(plain)) return "pet";
  if (/t2|flair/.test(plain)) return null;
  return plain.endsWith(".zip") ? "t1" : "seg";
}

export function take(files) {
  const left = [];
  for (const file of files) {
    const role = roleOf(file.name);
    if (!role) {
      left.push(file.name);
      continue;
    }
    chosen = chosen.filter((one) => one.role !== role);
    chosen.push({ file, role });
  }
  listFiles();
  $("left-out").textContent = left.length ? `Not needed, and left out: ${left.join(", ")}.` : "";
  look();
}

function listFiles() {
  $("chosen").replaceChildren(
    ...chosen.map((one, n) => {
      const item = document.createElement("li");
      const name = element("span", { textContent: one.file.name, title: one.file.name });
      const role = document.createElement("select");
      role.setAttribute("aria-label", `What ${one.file.name} is`);
      role.append(...Object.entries(ROLES).map(([value, text]) => new Option(text, value, false, value === one.role)));
      role.addEventListener("change", () => {
        one.role = role.value;
        look();
      });
      const away = element("button", { type: "button", textContent: "Remove" });
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

export function form(fields) {
  const data = new FormData();
  for (const { file, role } of chosen) {
    if (!fields.files || fields.files.includes(role)) data.set(role, file, (role === "seg" && dataSetIn(file.name)) || role);
  }
  for (const name of fields.options) {
    const value = $(name).type === "checkbox" && !$(name).checked ? "" : $(name).value.trim();
    if (value !== "") data.set(name, value);
  }
  return data;
}

let looking = 0;

/** Have the service say what it understands, before anything is asked. */
export async function look() {
  const turn = ++looking;
  sayFaults(null);
  $("understood").hidden = true;
  $("send").disabled = !anyChosen();
  if (chosen.some((one) => one.role === "t1" || one.role === "t1c")) $("space").value = "";
  if (!chosen.some((one) => ["seg", "whole_mask"].includes(one.role))) return;
  try {
    const files = ["seg", "core_mask", "whole_mask", "t1c"]; // a T1c tells labels apart
    const options = ["labels", "core_labels", "whole_labels"];
    const told = await askJson("v1/previews", { method: "POST", body: form({ files, options }) });
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
    const place = (label) => (told.core_labels.includes(+label) ? "core" : told.whole_labels.includes(+label) ? "whole" : "left out");
    const meaning = (label) => told.meanings[label] ?? told.names[label];
    const words = (label) => (meaning(label) ? `${label} ${meaning(label)} (${place(label)})` : `${label} ${place(label)}`);
    facts.unshift(["Labels", Object.keys(told.labels).map(words).join(", ")]);
  }
  if (told.reading) facts.unshift(["Read as", told.reading]);
  if (told.format) facts.push(["Format", told.format]);
  $("facts").replaceChildren(
    ...facts.flatMap(([name, text]) => [
      element("dt", { textContent: name }),
      element("dd", { textContent: text }),
    ]),
  );
  $("thumbnail").src = `data:image/png;base64,${told.thumbnail_png}`;
  $("thumbnail").alt = `Three planes through the tumour: ${facts.map((fact) => fact.join(" ")).join("; ")}`;
  $("doubts").replaceChildren(...told.warnings.map((text) => element("li", { textContent: text })));
  $("understood").hidden = false;
}

export async function takeExample() {
  const hint = $("files-hint").textContent;
  $("example").disabled = true;
  $("files-hint").textContent = "Making the example: a few seconds, the first time …";
  try {
    const files = await Promise.all(
      ["seg", "t1"].map(async (name) => new File([await (await ask(`v1/example/${name}`)).blob()], `example-${name}.nii.gz`)),
    );
    take(files);
  } catch (error) {
    sayFaults(error);
  } finally {
    $("example").disabled = false;
    $("files-hint").textContent = hint;
  }
}
