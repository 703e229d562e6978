/**
 * The repo's shape, held: imports point one way, SQL lives in the registry, durable work is declared.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")

/** What a room may import besides itself. `bin` wires: it may import all. */
const allowed: Readonly<Record<string, ReadonlyArray<string> | "all">> = {
  domain: [],
  agent: ["domain"],
  events: ["domain"],
  data: ["domain"],
  runtime: ["domain", "agent", "events", "data"],
  gateway: ["domain", "agent", "events", "runtime"],
  surface: ["domain", "agent", "events", "runtime", "gateway"],
  gates: ["domain", "surface"],
  drills: ["domain", "gates"],
  rehearsal: ["domain", "surface", "gates", "drills"],
  bin: "all"
}

interface Source {
  /** `src/agent/Agent.ts` */
  readonly path: string
  readonly room: string
  readonly text: string
}

const sources: ReadonlyArray<Source> = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith(".ts") && !entry.name.endsWith(".test.ts"))
  .map((entry) => {
    const path = relative(root, join(entry.parentPath, entry.name))
    return { path, room: path.split("/")[1]!, text: readFileSync(join(root, path), "utf8") }
  })

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")

/** Paths of the repo that a source imports, exports from, or loads later. */
const importsOf = ({ path, text }: Source): ReadonlyArray<string> =>
  [...withoutComments(text).matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map(([, target]) =>
    join(dirname(path), target!)
  )

const offending = (pattern: RegExp, rooms: ReadonlyArray<string>, except: ReadonlyArray<string>) =>
  sources
    .filter(({ room, path }) => rooms.includes(room) && !except.includes(path))
    .flatMap(({ path, text }) =>
      withoutComments(text)
        .split("\n")
        .filter((line) => pattern.test(line))
        .map((line) => `${path}: ${line.trim()}`)
    )

describe("architecture", () => {
  it("sees the sources", () => {
    expect(sources.length).toBeGreaterThan(40)
    expect(sources.flatMap(importsOf).length).toBeGreaterThan(100)
  })

  it("knows every room", () => {
    expect([...new Set(sources.map(({ room }) => room))].filter((room) => !(room in allowed))).toEqual([])
  })

  it("lets imports point one way", () => {
    const wrong = sources.flatMap((source) => {
      const may = allowed[source.room]
      if (may === undefined || may === "all") return []
      return importsOf(source)
        .filter((target) => {
          const [top, room] = target.split("/")
          return top !== "src" || (room !== source.room && !may.includes(room!))
        })
        .map((target) => `${source.path} -> ${target} (${source.room} may import ${may.join(", ") || "nothing"})`)
    })
    expect(wrong).toEqual([])
  })

  it("keeps every SQL text of a release's processes in the registry of statements", () => {
    const rooms = ["domain", "agent", "events", "data", "gateway", "runtime"]
    const sql = /\bsql`|\bsql<|\.unsafe\(|\.query\(\s*["'`]/
    expect(
      offending(sql, rooms, [
        "src/domain/Statement.ts",
        // An empty statement in place of the library's DDL; and the question whether the database answers at all.
        "src/runtime/ClusterStorage.ts",
        "src/runtime/Database.ts"
      ])
    ).toEqual([])
  })

  it("knows every statement of the registry in the surface, which gates prove to work", () => {
    const surface = readFileSync(join(root, "surface.json"), "utf8")
    const names = sources.flatMap(({ path, text }) =>
      path !== "src/domain/Statement.ts" && text.includes("Statement.make")
        ? [...text.matchAll(/\bname: "(\w+\.\w+)"/g)].map(([, name]) => name!)
        : []
    )
    expect(names.length).toBeGreaterThan(50)
    expect(names.filter((name) => !surface.includes(`"name": "${name}"`))).toEqual([])
  })

  it("lets durable work be made in the declaration alone, and the rehearsal's own in its engine", () => {
    const durable =
      /\bActivity\.make\(|\bDurableClock\.(make|sleep)\(|\bDurableDeferred\.(await|into|raceAll)\(|\bWorkflow\.make\(/
    const declared = ["src/agent/Declaration.ts", "src/rehearsal/engine/Durable.ts"]
    expect(offending(durable, Object.keys(allowed), declared)).toEqual([])
  })

  it("numbers decisions once each, as their titles do", () => {
    const files = readdirSync(join(root, "docs/adr")).sort()
    const numbers = files.map((file) => Number(file.slice(0, 4)))
    expect(numbers).toEqual(files.map((_, index) => index + 1))
    const titled = files.map((file) =>
      Number(/^# (\d+)\./.exec(readFileSync(join(root, "docs/adr", file), "utf8"))?.[1])
    )
    expect(titled).toEqual(numbers)
  })
})
