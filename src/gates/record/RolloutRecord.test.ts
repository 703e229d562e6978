/** The record of a rollout, with servers that answer as Cloud Deploy, the audit log and the metadata server do. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { describe, expect, it } from "@effect/vitest"
import { Effect, type Scope } from "effect"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import { releaseRecordVerb, releaseShowVerb } from "../../bin/cli/release.ts"
import { fromUrl, layer } from "../Database.ts"
import type * as Evidence from "../Evidence.ts"
import * as Releases from "../Releases.ts"
import { learn, type Place, placeFromEnv } from "./CloudDeploy.ts"
import * as RolloutRecord from "./RolloutRecord.ts"

const RELEASE = "/v1/projects/p/locations/us-central1/deliveryPipelines/agents/releases/r-1"
const ROLLOUT = `${RELEASE}/rollouts/r-1-to-prod-0001`

type Answers = Readonly<Record<string, (body: string) => unknown>>

const answers: Answers = {
  "/computeMetadata/v1/instance/service-accounts/default/token": () => ({ access_token: "t", expires_in: 3599 }),
  [RELEASE]: () => ({ name: "r-1", buildArtifacts: [{ image: "agents", tag: "reg/agents@sha256:abc" }] }),
  [ROLLOUT]: () => ({
    createTime: "2026-11-20T10:00:00Z",
    approvalState: "APPROVED",
    approveTime: "2026-11-25T10:05:00Z"
  }),
  [`${ROLLOUT}/jobRuns`]: () => ({
    jobRuns: [
      {
        phaseId: "stable",
        jobId: "deploy",
        state: "SUCCEEDED",
        startTime: "2026-11-25T10:06:00Z",
        endTime: "2026-11-25T10:06:42.5Z"
      }
    ],
    nextPageToken: "2"
  }),
  [`${ROLLOUT}/jobRuns?pageToken=2`]: () => ({
    jobRuns: [
      {
        phaseId: "stable",
        jobId: "predeploy",
        state: "SUCCEEDED",
        startTime: "2026-11-25T10:05:10Z",
        endTime: "2026-11-25T10:05:20Z"
      },
      { phaseId: "stable", jobId: "postdeploy", state: "IN_PROGRESS", startTime: "2026-11-25T10:07:00Z" },
      { phaseId: "stable", jobId: "verify", state: "PENDING" }
    ]
  }),
  "/v2/entries:list": (body) => {
    const { filter } = JSON.parse(body) as { readonly filter: string }
    const asked =
      filter.includes(`protoPayload.resourceName="${ROLLOUT.slice(4)}"`) &&
      filter.includes('timestamp>="2026-11-20T10:00:00Z"')
    return {
      entries: asked
        ? [{ protoPayload: { authenticationInfo: { principalEmail: "ann@example.com" }, request: { approved: true } } }]
        : []
    }
  }
}

const google = (given: Answers): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer((request, response) => {
        let body = ""
        request.on("data", (chunk) => (body += chunk))
        request.on("end", () => {
          const metadata = request.url!.startsWith("/computeMetadata")
          const allowed = metadata
            ? request.headers["metadata-flavor"] === "Google"
            : request.headers.authorization === "Bearer t"
          const answer = given[request.url!]
          response.statusCode = !allowed ? 401 : answer === undefined ? 403 : 200
          response.end(answer === undefined || !allowed ? "no" : JSON.stringify(answer(body)))
        })
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      return server
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => `127.0.0.1:${(server.address() as AddressInfo).port}`))

const env = (host: string) => ({
  CLOUD_DEPLOY_API_URL: `http://${host}`,
  CLOUD_LOGGING_API_URL: `http://${host}/`,
  GCE_METADATA_HOST: host,
  CLOUD_DEPLOY_PROJECT_ID: "p",
  CLOUD_DEPLOY_LOCATION: "us-central1",
  CLOUD_DEPLOY_DELIVERY_PIPELINE: "agents",
  CLOUD_DEPLOY_RELEASE: "r-1",
  CLOUD_DEPLOY_ROLLOUT: "r-1-to-prod-0001"
})

const asked = (given: Answers) => Effect.flatMap(google(given), (host) => learn(placeFromEnv(env(host)) as Place))
const without = (...names: ReadonlyArray<string>): Answers =>
  Object.fromEntries(Object.entries(answers).filter(([name]) => !names.includes(name)))

describe("what is asked of Google about a rollout", () => {
  it.scopedLive("is its images, who approved it and when, and when each job ran", () =>
    Effect.gen(function* () {
      expect(yield* asked(answers)).toEqual({
        images: [{ name: "agents", tag: "reg/agents@sha256:abc" }],
        approval: { state: "APPROVED", at: "2026-11-25T10:05:00Z", by: "ann@example.com" },
        jobs: [
          {
            phase: "stable",
            job: "predeploy",
            state: "SUCCEEDED",
            startedAt: "2026-11-25T10:05:10Z",
            endedAt: "2026-11-25T10:05:20Z"
          },
          {
            phase: "stable",
            job: "deploy",
            state: "SUCCEEDED",
            startedAt: "2026-11-25T10:06:00Z",
            endedAt: "2026-11-25T10:06:42.5Z"
          },
          { phase: "stable", job: "postdeploy", state: "IN_PROGRESS", startedAt: "2026-11-25T10:07:00Z", endedAt: null }
        ],
        unknown: []
      })
    })
  )

  it.scopedLive("is said to be unknown, with the reason, where it may not be asked, and fails nothing", () =>
    Effect.gen(function* () {
      const log = yield* asked(without("/v2/entries:list"))
      expect(log.approval).toEqual({ state: "APPROVED", at: "2026-11-25T10:05:00Z", by: null })
      expect(log.unknown).toEqual([expect.stringMatching(/^who approved: 127\.0\.0\.1:\d+ answered 403: no$/)])
      const silent = yield* asked({ ...answers, "/v2/entries:list": () => ({}) })
      expect(silent.unknown).toEqual(["who approved: the audit log has no entry yet"])
      const rejectedOnly = yield* asked({
        ...answers,
        "/v2/entries:list": () => ({
          entries: [
            {
              protoPayload: { authenticationInfo: { principalEmail: "bob@example.com" }, request: { approved: false } }
            }
          ]
        })
      })
      expect(rejectedOnly.approval?.by).toBeNull()
      const nothing = yield* asked(without("/computeMetadata/v1/instance/service-accounts/default/token"))
      expect(nothing).toMatchObject({ images: [], approval: null, jobs: null })
      expect(nothing.unknown).toHaveLength(1)
      const deploy = yield* asked(without(RELEASE, ROLLOUT, `${ROLLOUT}/jobRuns`))
      expect(deploy.unknown.map((line) => line.split(":")[0])).toEqual(["images", "approval", "jobs"])
    })
  )

  it("is not asked where there is no Cloud Deploy", () => {
    const { CLOUD_DEPLOY_API_URL: _, ...rest } = env("h")
    expect(placeFromEnv(rest)).toBeUndefined()
  })
})

describe("the record of a rollout", () => {
  it.scopedLive(
    "holds commit, digest, surface, migrations, approval, evidence and durations, and a later phase completes it",
    () =>
      Effect.gen(function* () {
        const database = yield* migratedDatabase
        const connection = layer(yield* fromUrl(database.urlOf("migrator")))
        const known = yield* asked(answers)
        const input = { target: "prod", rollout: "r-1-to-prod-0001", release: "4f2a91c0" }
        yield* Effect.gen(function* () {
          yield* Releases.record({ release: "4f2a91c0", surface: { b: 1, a: [{ d: 1, c: 2 }], statements: [] } })
          yield* database.query(
            "insert into agents.migration_checksums values ('0014_x', 'h', '4f2a91c0', now()), ('0001_x', 'h', 'other', now())"
          )
          const gate = (gate: string, rollout: string) =>
            Releases.keepEvidence({
              format: 1,
              gate,
              release: "4f2a91c0",
              verdict: "passed",
              summary: "s",
              target: "prod",
              rollout,
              phase: "stable",
              checks: [],
              findings: [],
              startedAt: new Date("2026-11-25T10:05:10Z"),
              finishedAt: new Date("2026-11-25T10:05:12.500Z")
            } satisfies Evidence.Evidence)
          yield* gate("workflows", input.rollout)
          yield* gate("workflows", "another")
          yield* RolloutRecord.write({ ...input, phase: "one-replica", known })
          // The last phase can't ask: what was known stays.
          yield* gate("migrations", input.rollout)
          yield* RolloutRecord.write({
            ...input,
            phase: "stable",
            known: { images: [], approval: null, jobs: null, unknown: ["jobs: 503"] }
          })
          const [record, ...others] = yield* RolloutRecord.ofRelease("4f2a")
          expect(others).toEqual([])
          expect(record).toMatchObject({
            ...input,
            phase: "stable",
            images: known.images,
            migrations: ["0014_x"],
            approval: known.approval,
            jobs: known.jobs,
            unknown: ["jobs: 503"]
          })
          expect(record!.evidence.map(({ gate, verdict, seconds }) => `${gate} ${verdict} ${seconds}`)).toEqual([
            "workflows passed 2.5",
            "migrations passed 2.5"
          ])
          expect(record!.surfaceSha256).toMatch(/^[0-9a-f]{64}$/)
        }).pipe(Effect.provide(connection))

        const shown = yield* releaseShowVerb.run({
          flags: { "database-url": database.urlOf("reader") },
          positionals: ["4f2a91c0"],
          json: false
        })
        expect(shown.text).toContain("  image       reg/agents@sha256:abc")
        expect(shown.text).toContain("  approved    by ann@example.com at 2026-11-25T10:05:00Z")
        expect(shown.text).toContain("  job         stable / deploy: SUCCEEDED, 42.5 s, from 2026-11-25T10:06:00Z")
        expect(shown.text).toMatch(/ {2}evidence {4}\d+ {2}migrations \/ stable: passed, 2\.5 s/)
        const stranger = yield* Effect.flip(
          releaseShowVerb.run({
            flags: { "database-url": database.urlOf("reader") },
            positionals: ["ffff"],
            json: false
          })
        )
        expect(stranger.message).toContain(
          'No rollout of a release ffff is recorded here. "deliver release list" names'
        )
      })
  )

  it.scopedLive("is written by the rollout's last hook, and says what nobody could be asked", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* database.query(
        `insert into agents.releases (release, surface, state) values ('c0ffee', '{"statements":[]}', 'deploying')`
      )
      const flags = {
        "database-url": database.urlOf("migrator"),
        state: "deployed",
        release: "c0ffee",
        target: "dev",
        rollout: "c-to-dev-0001"
      }
      yield* releaseRecordVerb.run({ flags, positionals: [], json: false })
      const shown = yield* releaseShowVerb.run({
        flags: { "database-url": database.urlOf("reader") },
        positionals: ["c0ffee"],
        json: true
      })
      expect(shown.json).toMatchObject({
        rollouts: [
          {
            target: "dev",
            rollout: "c-to-dev-0001",
            approval: null,
            unknown: ["images, approval and jobs: there is no Cloud Deploy here to ask"]
          }
        ]
      })
    })
  )
})
