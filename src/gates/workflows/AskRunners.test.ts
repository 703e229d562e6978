/** Both ends at once: a gate that asks, and a runner's port that answers with a gate of its own image, over real tokens. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { AUDIENCE, PATH } from "../../domain/CarryQuestion.ts"
import * as DevIssuer from "../../domain/DevIssuer.ts"
import * as Identity from "../../gateway/Identity.ts"
import * as CarryAnswer from "../../runtime/CarryAnswer.ts"
import * as Evidence from "../Evidence.ts"
import { ask } from "./AskRunners.ts"

const GATE = "agent-gate@project.test"

const issuer = Effect.gen(function* () {
  const made = yield* DevIssuer.make({
    issuer: "https://issuer.test",
    subject: { tenant: "", subject: "gate", email: GATE }
  })
  const server = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const started = createServer(made.handler)
      started.listen(0, "127.0.0.1", () => resume(Effect.succeed(started)))
    }),
    (started) => Effect.sync(() => started.close())
  )
  return { ...made, jwks: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`) }
})

const evidenceOf = (findings: ReadonlyArray<Evidence.Finding>) =>
  Evidence.make({
    gate: "workflows",
    release: "old",
    summary: (verdict) => `The old release says ${verdict}.`,
    checks: [],
    findings,
    startedAt: new Date(),
    env: {}
  }).pipe(Effect.map((made) => JSON.stringify(Evidence.toJson(made))))

const stranded: Evidence.Finding = {
  rule: "workflow-gone",
  severity: "hazard",
  what: "3 open executions of OrderV3.",
  where: "OrderV3: 3 executions: a, b, c",
  why: "It is not known.",
  fix: "Wait for them."
}

/** A runner whose image's gate is this script. */
const runner = (script: string, change: Partial<CarryAnswer.CarryOptions> = {}) =>
  Effect.gen(function* () {
    const folder = mkdtempSync(join(tmpdir(), "runner-"))
    yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true, force: true })))
    const file = join(folder, "gate.mjs")
    writeFileSync(file, script)
    const keys = yield* issuer
    const identity = Identity.make({ issuer: keys.issuer, audience: AUDIENCE, jwksUrl: keys.jwks })
    let port = 0
    yield* Layer.build(
      CarryAnswer.layer({
        host: "127.0.0.1",
        port: 0,
        release: "old",
        callers: [GATE],
        caller: (token) => Effect.map(identity.verifyService(token), ({ email }) => email),
        gate: [file],
        env: process.env,
        listening: (opened) => {
          port = opened
        },
        ...change
      })
    )
    return { port, keys, token: yield* keys.issue({ audience: AUDIENCE }) }
  })

const says = (words: string, code: number) =>
  `process.stdout.write(${JSON.stringify(words)}); process.stderr.write("its words"); process.exitCode = ${code}`

const asking = (port: number | undefined, token: string, more: ReadonlyArray<number> = []) =>
  ask({
    release: "new",
    runners: [
      { runner: "runner-2", release: "new", port: 1 },
      ...[port, ...more].map((one, at) => ({ runner: `runner-${at}`, release: "old", port: one }))
    ],
    hosts: "127.0.0.1",
    token: Effect.succeed(token),
    timeoutMs: 20_000
  })

const told = ({ findings }: { readonly findings: ReadonlyArray<Evidence.Finding> }) =>
  findings.map(({ severity, rule }) => `${severity} ${rule}`)

describe("a gate that asks the other release's runners", () => {
  it.scopedLive("prints that the old release can carry what the new one started", () =>
    Effect.gen(function* () {
      const old = yield* runner(says(yield* evidenceOf([]), 0))
      const asked = yield* asking(old.port, old.token)
      expect(asked.findings).toEqual([])
      expect(asked.checks).toEqual([
        { name: "old release asked", result: "runner-0 (old): passed. The old release says passed." }
      ])
    })
  )

  it.scopedLive("refuses what the old release would strand, in its own words", () =>
    Effect.gen(function* () {
      const old = yield* runner(says(yield* evidenceOf([stranded]), 10))
      const asked = yield* asking(old.port, old.token)
      expect(told(asked)).toEqual(["hazard old-workflow-gone"])
      expect(asked.findings[0]!.what).toContain("release old refused: 3 open executions of OrderV3")
      expect(asked.findings[0]!.where).toContain("a, b, c")
    })
  )

  it.scopedLive("asks another runner when the first is gone, and is undecided when none answers", () =>
    Effect.gen(function* () {
      const old = yield* runner(says(yield* evidenceOf([]), 0))
      const gone = yield* Effect.scoped(runner(says("", 0)))
      expect(told(yield* asking(gone.port, old.token, [old.port]))).toEqual([])
      const silent = yield* asking(gone.port, old.token)
      expect(told(silent)).toEqual(["undecided old-runner-silent"])
      expect(silent.findings[0]!.where).toContain("runner-0")
      expect(told(yield* asking(undefined, old.token))).toEqual(["note old-runner-unable"])
    })
  )

  it.scopedLive(
    "never takes a gate that broke, lied about its release or never ended for a pass",
    () =>
      Effect.gen(function* () {
        const good = yield* evidenceOf([])
        for (const [script, change] of [
          [says(good, 1), {}],
          [says(good.slice(0, 50), 0), {}],
          [says(good, 0), { release: "another" }],
          ["setInterval(() => {}, 1000)", { limit: "300 millis" }],
          ["for (;;) process.stdout.write('x'.repeat(65536))", { limit: "10 seconds" }]
        ] as const) {
          const old = yield* runner(script, change)
          expect(told(yield* asking(old.port, old.token)), script.slice(0, 40)).toEqual(["undecided old-runner-silent"])
        }
      }),
    { timeout: 60_000 }
  )

  it.scopedLive("is answered only with a token of the gate's account for the runners' audience, one at a time", () =>
    Effect.gen(function* () {
      const old = yield* runner("setInterval(() => {}, 1000)", { limit: "2 seconds" })
      const post = (token: string | undefined, path: string = PATH, method = "POST") =>
        Effect.promise(async () => {
          const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
          return (await fetch(`http://127.0.0.1:${old.port}${path}`, { method, headers })).status
        })
      const other = yield* issuer
      expect(yield* post(undefined)).toBe(401)
      expect(yield* post("no-token")).toBe(401)
      expect(yield* post(yield* old.keys.issue({ audience: "https://gateway.test" }))).toBe(401)
      expect(yield* post(yield* old.keys.issue({ audience: AUDIENCE, lifetimeSeconds: -60 }))).toBe(401)
      expect(yield* post(yield* other.issue({ audience: AUDIENCE }))).toBe(401)
      expect(yield* post(yield* old.keys.issue({ audience: AUDIENCE, email: "smoke@project.test" }))).toBe(403)
      expect(yield* post(old.token, "/")).toBe(404)
      expect(yield* post(old.token, PATH, "GET")).toBe(404)
      const both = yield* Effect.all([post(old.token), post(old.token)], { concurrency: 2 })
      expect([...both].sort()).toEqual([429, 503])
    })
  )
})
