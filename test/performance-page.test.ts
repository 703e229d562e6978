import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { pages } from "./bench/page.ts"

describe("the page of measurements", () => {
  it("says what the kept figures say: `make bench-page` writes it", () => {
    const written = [...pages()]
    expect(written.map(([file]) => file)).toContain("docs/performance.md")
    for (const [file, text] of written) expect(readFileSync(file, "utf8"), file).toBe(text)
  })
})
