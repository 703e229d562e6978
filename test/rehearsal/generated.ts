/** Requests made by chance: the server's own routes, with something in them that does not belong there. */
import { PARENT, PIPELINE } from "../support/rehearsal-server.ts"
import type { Attack } from "./attacks.ts"

/** What is no HTTP. */
export const FRAGMENTS: ReadonlyArray<string> = [
  "hello\r\n\r\n",
  "GET / HTTP/9.9\r\n\r\n",
  "GET /\0 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
  "EXPLODE / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
  `GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx: ${"x".repeat(20_000)}\r\n\r\n`,
  "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n",
  "POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  "GET / HTTP/1.1\r\n\r\n"
]

const NASTY: ReadonlyArray<unknown> = [
  null,
  true,
  -1,
  1e308,
  0.5,
  "",
  " ",
  "-",
  "..",
  "a/b",
  "a'b\"c",
  "\0",
  "\ud800",
  "\u202e",
  "%",
  "x".repeat(3_000),
  "__proto__",
  "constructor",
  [],
  [[]],
  {},
  { a: 1 },
  { __proto__: null, toString: 1 }
]

const KEYS = NASTY.filter((one) => typeof one === "string")

const hooks = { predeploy: { actions: ["before"] }, verify: true }
const BODIES: ReadonlyArray<readonly [path: string, body: object]> = [
  [`${PARENT}/targets/dev`, { gke: { cluster: "dev" }, requireApproval: false, labels: { a: "b" } }],
  [
    PIPELINE,
    {
      description: "x",
      serialPipeline: { stages: [{ targetId: "dev", profiles: ["all"], strategy: { standard: hooks } }] }
    }
  ],
  [
    `${PIPELINE}/automations/x`,
    {
      serviceAccount: "a@p.iam.gserviceaccount.com",
      selector: { targets: [{ id: "dev", labels: {} }] },
      rules: [
        {
          timedPromoteReleaseRule: {
            id: "t",
            schedule: "0 9 * * 1",
            timeZone: "Europe/Berlin",
            destinationPhase: "stable"
          }
        },
        { repairRolloutRule: { id: "r", jobs: ["verify"], repairPhases: [{ retry: { attempts: "1", wait: "60s" } }] } }
      ]
    }
  ],
  [
    `${PARENT}/deployPolicies/x`,
    {
      selectors: [{ target: { id: "*" } }],
      rules: [
        {
          rolloutRestriction: {
            id: "a",
            actions: ["CREATE"],
            timeWindows: {
              timeZone: "Etc/UTC",
              weeklyWindows: [{ daysOfWeek: ["MONDAY"], startTime: { hours: 1 }, endTime: { hours: 2 } }],
              oneTimeWindows: [{ startDate: { year: 2026, month: 1, day: 1 }, startTime: { hours: 1 } }]
            }
          }
        }
      ]
    }
  ]
]

const VERBS: ReadonlyArray<readonly [name: string, body: object]> = [
  [`${PIPELINE}/releases/r-1/rollouts/to-dev:approve`, { approved: true }],
  [`${PIPELINE}/releases/r-1/rollouts/to-dev:advance`, { phaseId: "stable" }],
  [`${PIPELINE}/releases/r-1/rollouts/to-dev:cancel`, {}],
  [`${PIPELINE}/releases/r-1/rollouts/to-dev:retryJob`, { phaseId: "stable", jobId: "verify" }],
  [`${PIPELINE}/releases/r-1/rollouts/to-dev:ignoreJob`, { phaseId: "stable", jobId: "verify" }]
]

const READS: ReadonlyArray<readonly [path: string, parameters: ReadonlyArray<string>]> = [
  [`v1/${PARENT}/targets`, ["filter", "orderBy", "pageSize", "pageToken"]],
  [`v1/${PIPELINE}/releases/-/rollouts`, ["filter", "orderBy", "pageSize", "pageToken"]],
  ["console/log", ["jobRun", "from"]],
  ["console/evidence", ["rollout"]],
  ["console/state", ["x"]],
  ["console/login", ["token"]],
  ["console/events", ["x"]],
  ["storage/v1/b", ["prefix", "project"]],
  ["storage/v1/b/sources/o/1.tgz", ["alt"]]
]

/** One place in a value, anywhere, given something nasty. */
const spoiled = (value: unknown, next: () => number): unknown => {
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  if (typeof value !== "object" || value === null || next() < 0.2) return pick(NASTY)
  if (Array.isArray(value)) {
    const at = Math.floor(next() * value.length)
    return value.map((one, index) => (index === at ? spoiled(one, next) : one))
  }
  const keys = Object.keys(value)
  if (keys.length === 0 || next() < 0.1) return { ...value, [pick(KEYS)]: pick(NASTY) }
  const key = pick(keys)
  if (next() < 0.15) return Object.fromEntries(Object.entries(value).filter(([one]) => one !== key))
  return { ...value, [key]: spoiled((value as Record<string, unknown>)[key], next) }
}

/** Words of a query: what a list can be asked for, torn apart. */
const WORDS = [
  "state",
  "=",
  "(",
  ")",
  "AND",
  "OR",
  "NOT",
  '"',
  "'",
  "targetId",
  ":",
  "*",
  ">",
  "-",
  "\\",
  "\0",
  ",",
  "desc",
  "%",
  "1",
  "\u{1f600}"
]

/** Nothing that is taken changes anything: writes only ask whether they would be, and a rollout that is over takes no orders. */
export const requests = (next: () => number, count: number): ReadonlyArray<Attack> => {
  const pick = <A>(all: ReadonlyArray<A>): A => all[Math.floor(next() * all.length)]!
  const write = (): Attack => {
    const [path, body] = pick(BODIES)
    const text = JSON.stringify(spoiled(body, next))
    const mask = pick(["*", "description", "rules,labels", "__proto__", "a.b.c", ""])
    return {
      what: "a write",
      method: "PATCH",
      path: `/v1/${path}?validateOnly=true&allowMissing=true&updateMask=${mask}`,
      body: next() < 0.1 ? text.slice(0, Math.floor(next() * text.length)) : text
    }
  }
  const order = (): Attack => {
    const [name, body] = pick(VERBS)
    return { what: "an order", method: "POST", path: `/v1/${name}`, body: JSON.stringify(spoiled(body, next)) }
  }
  const question = (): Attack => {
    const [path, parameters] = pick(READS)
    const words = Array.from({ length: 1 + Math.floor(next() * 6) }, () => pick(WORDS)).join(pick(["", " "]))
    return { what: "a question", path: `/${path}?${pick(parameters)}=${encodeURIComponent(words)}` }
  }
  const path = (): Attack => {
    const [from] = pick(READS)
    const parts = from.split("/")
    parts[Math.floor(next() * parts.length)] = encodeURIComponent(
      pick(["-", "x", "..", "\0", "%", "a:b", "constructor", "\u{1f600}", "a b", "releases", "v1"])
    )
    return {
      what: "a path",
      method: pick(["GET", "PUT", "DELETE", "OPTIONS"]),
      path: `/${parts.join("/")}`
    }
  }
  return Array.from({ length: count }, () => pick([write, write, order, question, path])())
}
