// Bundles the page's scripts, and gathers the licences of what is in them.
import { build } from "esbuild";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const result = await build({
  entryPoints: { page: "src/page.js", viewer: "src/viewer.js" },
  outdir: "static",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["./viewer.js"],
  metafile: true,
  legalComments: "none",
});

const packages = new Set();
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
  if (found) packages.add(found[1]);
}
// niivue's own file is a bundle: what it lists as dependencies is in it
for (const name of [...packages]) {
  const described = JSON.parse(readFileSync(join("node_modules", name, "package.json")));
  for (const other of Object.keys(described.dependencies ?? {})) packages.add(other);
}
const texts = [...packages].sort().map((name) => {
  const folder = join("node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
  const there = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  // some packages leave theirs out: it is kept here
  const file = there ? join(folder, there) : join("licences", `${name.replace("/", "__")}.txt`);
  const text = readFileSync(file, "utf8").trim();
  return `${name} ${version}: ${license}\n\n${text}\n`;
});
writeFileSync("static/licences.txt", texts.join(`\n${"-".repeat(80)}\n`));
