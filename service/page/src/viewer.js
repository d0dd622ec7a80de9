// Three planes through the patient: scan, map, outlines. Bundled with NiiVue, and loaded when there is something to show.
import { Niivue, NVImage, SLICE_TYPE } from "@niivue/niivue";

const PATIENT_WHOLE = 1, PATIENT_CORE = 2, MODEL = 3;
const COLOURS = { R: [0, 86, 230, 204], G: [0, 180, 159, 121], B: [0, 233, 0, 167], A: [0, 255, 255, 255] };

export class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.niivue = new Niivue({
      backColor: [0.063, 0.082, 0.11, 1],
      crosshairColor: [0.9, 0.92, 0.94, 0.6],
      crosshairWidth: 0.6,
      isRadiologicalConvention: true,
      show3Dcrosshair: false,
      dragAndDropEnabled: false,
      isNearestInterpolation: false,
      loadingText: "",
      isColorbar: false,
      logLevel: "error",
    });
    this.patientShown = this.modelShown = true;
    this.moved = () => {};
    this.niivue.onLocationChange = () => this.moved(this.place);
  }

  async start() {
    await this.niivue.attachToCanvas(this.canvas);
    this.niivue.setSliceType(SLICE_TYPE.MULTIPLANAR);
    this.niivue.opts.multiplanarShowRender = 0;
  }

  /** Show a scan with a map; buffers are NIfTI files of one grid. */
  async show(scan, map, patient, { opacity, level, colormap, high }) {
    this.scan = await image(scan, "scan.nii.gz", { colormap: "gray" });
    this.map = await image(map, "map.nii.gz", { colormap, opacity, cal_min: 0.02 * high, cal_max: high });
    this.lines = await image(patient, "patient.nii.gz", { opacity: 1 });
    this.isolevel = level;
    this.patient = Uint8Array.from(this.lines.img);
    this.lines.setColormapLabel({ ...COLOURS, I: [0, 1, 2, 3], labels: ["", "whole", "core", "isoline"] });
    this.#drawLines();
    this.#drawAll();
    this.#goToTumour();
  }

  /** Show another map in place of the one that is shown. */
  async replace(map, { colormap, high }) {
    const opacity = this.map.opacity;
    const next = await image(map, "map.nii.gz", { colormap, opacity, cal_min: 0.02 * high, cal_max: high });
    this.map = next;
    this.#drawLines();
    this.#drawAll();
  }

  /** Colours of a map from its lowest value to its highest, as CSS has them. */
  gradient(colormap) {
    const table = this.niivue.colormap(colormap);
    const stops = Array.from({ length: 9 }, (_, n) => 4 * Math.round((n / 8) * (table.length / 4 - 1)));
    return `linear-gradient(to right, ${stops.map((at) => `rgb(${table.slice(at, at + 3).join(" ")})`).join(", ")})`;
  }

  set opacity(value) {
    this.map.opacity = value;
    this.#later();
  }

  set level(value) {
    this.isolevel = value;
    this.#drawLines();
    this.#later();
  }

  outline({ patient, model }) {
    this.patientShown = patient;
    this.modelShown = model;
    this.#drawLines();
    this.#later();
  }

  /** Draw once, however often a slider has moved since the last picture. */
  #later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#drawAll();
    });
  }

  /** Hand all volumes over at once: adding them one by one would draw each time. */
  #drawAll() {
    this.niivue.volumes = [this.scan, this.map, this.lines];
    this.niivue.back = this.scan;
    this.niivue.overlays = [this.map, this.lines];
    this.niivue.updateGLVolume();
  }

  /** Place of the planes, as shares of the scan along x, y and z. */
  get place() {
    return Array.from(this.niivue.scene.crosshairPos);
  }

  set place(shares) {
    this.niivue.scene.crosshairPos = shares;
    this.niivue.drawScene();
  }

  #drawLines() {
    const [, nx, ny, nz] = this.lines.hdr.dims;
    const out = this.lines.img;
    out.fill(0);
    if (this.modelShown) {
      const slope = this.map.hdr.scl_slope || 1;
      const least = ((this.isolevel ?? 0.2) - (this.map.hdr.scl_inter || 0)) / slope;
      const values = this.map.img;
      border(out, MODEL, nx, ny, nz, (n) => values[n] >= least);
    }
    if (this.patientShown) {
      const labels = this.patient;
      border(out, PATIENT_WHOLE, nx, ny, nz, (n) => labels[n] >= 1);
      border(out, PATIENT_CORE, nx, ny, nz, (n) => labels[n] >= 2);
    }
  }

  #goToTumour() {
    const [, nx, ny, nz] = this.lines.hdr.dims;
    const [i, j, k] = largestSections(this.patient, nx, ny, nz);
    const mm = this.lines.hdr.affine.slice(0, 3).map((row) => row[0] * i + row[1] * j + row[2] * k + row[3]);
    this.place = Array.from(this.niivue.mm2frac([...mm, 1]));
  }
}

/** Find in each direction the plane with the largest section of what is labelled: between two lesions there is none. */
export function largestSections(labels, nx, ny, nz) {
  const sections = [nx, ny, nz].map((size) => new Uint32Array(size));
  for (let n = 0; n < labels.length; n++) {
    if (!labels[n]) continue;
    sections[0][n % nx]++;
    sections[1][Math.floor(n / nx) % ny]++;
    sections[2][Math.floor(n / (nx * ny))]++;
  }
  return sections.map((areas) => areas.indexOf(Math.max(...areas)));
}

/** Mark the cells of a mask that have a neighbour outside of it. */
function border(out, code, nx, ny, nz, inside) {
  const step = nx * ny;
  for (let z = 1; z < nz - 1; z++) {
    for (let y = 1; y < ny - 1; y++) {
      for (let x = 1; x < nx - 1; x++) {
        const n = x + nx * y + step * z;
        if (!inside(n)) continue;
        if (
          !(inside(n - 1) && inside(n + 1) && inside(n - nx) && inside(n + nx) && inside(n - step) && inside(n + step))
        ) out[n] = code;
      }
    }
  }
}

async function image(buffer, name, options) {
  return NVImage.loadFromFile({ file: new File([buffer], name), name, ...options });
}
