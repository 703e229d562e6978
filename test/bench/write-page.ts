/** `make bench-page`: writes `docs/performance.md` and its plots. Measures nothing. */
import { writeFile } from "node:fs/promises"
import { pages } from "./page.ts"

for (const [file, text] of pages()) await writeFile(file, text)
