/** States of the console as a busy, a broken and an empty rehearsal would send them. */
import type { State } from "../../src/rehearsal/console/State.ts"

const NOW = Date.parse("2026-11-25T12:00:00Z")
const ago = (seconds: number) => new Date(NOW - seconds * 1_000).toISOString()

type Point = State["load"][number]["points"][number]

/** Ten minutes: calm, then more than the gateways let in, a minute in which some requests fail, and calm again. */
const points: ReadonlyArray<Point> = Array.from({ length: 118 }, (_, index) => {
  const at = (117 - index) * 5
  const busy = index > 40 && index < 80
  return {
    at: ago(at),
    gateways: 2,
    answered: busy ? 180 : 60 + (index % 7) * 4,
    refused: busy ? 90 : 0,
    failed: index >= 70 && index < 74 ? 0.4 : 0
  }
})

const COMMIT = "0123456789abcdef0123456789abcdef01234567"
const pod = (target: string, owner: string, number: number, more: Partial<State["fleet"][number]> = {}) => ({
  name: `${owner}-${number}`,
  target,
  owner: `StatefulSet/${owner}`,
  phase: "Running",
  ready: true,
  terminating: false,
  restarts: 0,
  image: "agents@sha256:0123",
  startedAt: ago(600),
  ...more
})
const RUNTIME = "effect-agent-runtime"

export const empty: State = {
  at: ago(0),
  clockScale: 1,
  pipelines: [],
  fleet: [],
  runtimes: [],
  load: []
}

/** `prod` works and rolls; `staging` has no runner for one group of its shards; the database of `dev` does not answer. */
export const busy: State = {
  ...empty,
  clockScale: 60,
  pipelines: [
    {
      name: "projects/rehearsal/locations/us-central1/deliveryPipelines/agents",
      id: "agents",
      suspended: false,
      targets: ["dev", "staging", "prod"].map((id) => ({
        id,
        requireApproval: id === "prod",
        current: "r-01234567",
        rollbackChoices: []
      })),
      releases: [],
      rollouts: [],
      automationRuns: []
    }
  ],
  fleet: [
    pod("dev", RUNTIME, 0, { ready: false, phase: "Pending", restarts: 3 }),
    pod("staging", RUNTIME, 0),
    pod("prod", RUNTIME, 0),
    pod("prod", RUNTIME, 1, { terminating: true }),
    pod("prod", RUNTIME, 2),
    pod("prod", "agent-gateway-6f7c9d8b5-abcde", 1)
  ],
  runtimes: [
    { target: "dev", runners: [], groups: [], shards: [], open: [], problem: "connect ECONNREFUSED 127.0.7.2:5432" },
    {
      target: "staging",
      runners: [{ name: `${RUNTIME}-0`, release: COMMIT }],
      groups: ["default", "enterprise"],
      shards: [{ owner: `${RUNTIME}-0.1a2b`, group: "default", shards: 300 }],
      open: [],
      problem: null
    },
    {
      target: "prod",
      runners: [
        { name: `${RUNTIME}-0`, release: COMMIT },
        { name: `${RUNTIME}-2`, release: `${COMMIT}-predecessor` }
      ],
      groups: ["default", "enterprise"],
      shards: [
        { owner: `${RUNTIME}-0.1a2b`, group: "default", shards: 190 },
        { owner: `${RUNTIME}-2.3c4d`, group: "default", shards: 110 },
        { owner: `${RUNTIME}-0.1a2b`, group: "enterprise", shards: 150 },
        { owner: `${RUNTIME}-2.3c4d`, group: "enterprise", shards: 150 }
      ],
      open: [
        { workflow: "AgentWorkflow", release: `${COMMIT}-predecessor`, open: 12 },
        { workflow: "AgentWorkflow/v2", release: COMMIT, open: 31 }
      ],
      problem: null
    }
  ],
  load: [
    { target: "prod", points: [...points] },
    { target: "staging", points: [] }
  ]
}
