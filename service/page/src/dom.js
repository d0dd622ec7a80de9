// What all parts of the page use: its elements, and where faults are said.

export const $ = (id) => document.getElementById(id);

/** Make an element with these properties. */
export function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

export const ROLES = {
  seg: "segmentation",
  core_mask: "core mask",
  whole_mask: "whole-tumour mask",
  t1: "T1",
  t1c: "T1 with contrast",
  seg_on: "scan it was drawn on",
  pet: "FET-PET",
  wm: "white matter",
  gm: "gray matter",
};

/** Say what is wrong where it is wrong; nothing is wrong without a problem. */
export function sayFaults(problem) {
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
