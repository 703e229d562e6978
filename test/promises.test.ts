/** `docs/system.md` against the tests that it names. */
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, it } from "vitest"
import { page } from "./promises/page.ts"
import { promises } from "./promises/promises.ts"

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const text = (path: string) => readFileSync(at(path), "utf8")

it("names tests and targets that are there", () => {
  const makefile = text("Makefile")
  const missing = promises.flatMap(({ id, tests, make }) => [
    ...tests
      .filter(([file, name]) => !existsSync(at(file)) || !text(file).includes(`"${name}"`))
      .map(([file, name]) => `${id}: ${file} has no test "${name}"`),
    ...(make === undefined || makefile.includes(`\n${make}: `) ? [] : [`${id}: there is no target ${make}`])
  ])
  expect(missing).toEqual([])
})

it("ticks nothing that nothing shows", () => {
  for (const { id, tests, open } of promises)
    expect({ id, shown: tests.length > 0 || open !== undefined }).toEqual({ id, shown: true })
})

it("is written anew when a promise changed: make system-doc", () => {
  expect(text("docs/system.md")).toBe(page())
})
