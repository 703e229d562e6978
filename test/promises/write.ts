/** `make system-doc`. */
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { page } from "./page.ts"

writeFileSync(fileURLToPath(new URL("../../docs/system.md", import.meta.url)), page())
