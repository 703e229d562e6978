/** `make goldens`: writes what the manifests render to. The diff is what a reviewer of a change to k8s/ wants to see. */
import { readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { renderAll, textOf } from "./render.ts"

const folder = join(import.meta.dirname, "rendered")
const goldens = await Effect.runPromise(renderAll())
for (const name of readdirSync(folder)) {
  if (!goldens.some(({ file }) => file === name)) rmSync(join(folder, name))
}
for (const golden of goldens) writeFileSync(join(folder, golden.file), textOf(golden))
console.log(`${goldens.length} files in test/goldens/rendered`)
