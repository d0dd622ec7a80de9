// Bundles the page's scripts, and gathers the licences of what is in them.
import { build } from "esbuild";
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const result = await build({
  entryPoints: { page: "src/page.js", viewer: "src/viewer.js", docs: "src/docs.js" },
  outdir: "static",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  external: ["./viewer.js"],
  metafile: true,
  legalComments: "none",
});

const swagger = "node_modules/swagger-ui-dist";
copyFileSync(join(swagger, "swagger-ui-bundle.js"), "static/swagger-ui.js");
copyFileSync(join(swagger, "swagger-ui.css"), "static/swagger-ui.css");

const packages = new Set(["swagger-ui-dist"]);
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
  if (found) packages.add(found[1]);
}
// niivue's own file is a bundle: what it lists as dependencies is in it
for (const name of [...packages]) {
  const described = JSON.parse(readFileSync(join("node_modules", name, "package.json")));
  for (const other of Object.keys(described.dependencies ?? {})) packages.add(other);
  packages.delete("@scarf/scarf"); // counts installations; nothing of it is in the page
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
