/** Two releases at once: which version of the workflow a start gets, and who may join the ring. */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { AgentClient } from "../../src/runtime/AgentClient.ts"
import { eventsOf, runId, session, summary, testCluster, untilEvent } from "../support/cluster.ts"
import { testImage } from "../support/image.ts"

/** This release without the second version of its workflow, as the one before it was. */
const without = [
  {
    file: "src/agent/registry.ts",
    find: "[agentWorkflow, agentWorkflowV2, agentWorkflowV2Enterprise]",
    replace: "[agentWorkflow]"
  },
  {
    file: "src/agent/versions.ts",
    find: "[agentWorkflowV2.workflow.name]: agentWorkflowV2 as unknown as typeof agentWorkflow,",
    replace: ""
  },
  {
    file: "src/agent/versions.ts",
    find: "[agentWorkflowV2Enterprise.workflow.name]: agentWorkflowV2Enterprise as unknown as typeof agentWorkflow,",
    replace: ""
  },
  { file: "src/runtime/RunnerProcess.ts", find: "    AgentWorkflowV2Live.layer,", replace: "" }
]

it.scopedLive(
  "gives starts the newest version that every live runner carries, and lets no runner in that lacks what is open",
  () =>
    Effect.gen(function* () {
      const [cluster, before] = yield* Effect.all([testCluster, testImage({ commit: "before", edits: without })])
      yield* Effect.gen(function* () {
        const agent = yield* AgentClient
        const ask = (run: string, message: string) =>
          agent.ask(session(run), { runId: runId(run), message, model: "local" })
        const old = yield* cluster.runner(0, { image: before })
        yield* old.ready
        const now = yield* cluster.runner(1)
        yield* now.ready
        expect((yield* ask("side-by-side", "approve")).workflow).toBe("AgentWorkflow")
        yield* untilEvent("side-by-side", "ApprovalRequested", "60 seconds")

        yield* old.signal("SIGTERM")
        expect(yield* old.exit).toBe(0)
        // A start that is sent again is the run that it was.
        expect((yield* ask("side-by-side", "approve")).workflow).toBe("AgentWorkflow")
        expect((yield* ask("alone", "approve follow-up:1")).workflow).toBe("AgentWorkflowV2")
        yield* untilEvent("alone", "ApprovalRequested", "60 seconds")

        const refused = yield* cluster.runner(2, { image: before })
        expect(yield* refused.exit).toBe(13)
        const [{ executionId }] = yield* cluster.database.query<{ executionId: string }>(
          `select execution_id as "executionId" from agents.runs where run_id = 'alone'`
        ) as Effect.Effect<[{ executionId: string }]>
        expect(refused.output()).toContain(`Workflow/AgentWorkflowV2: 1 open: ${executionId}`)
        expect(yield* cluster.database.query("select runner, release from agents.runners")).toEqual([
          { runner: now.name, release: "test" }
        ])
        expect(
          yield* cluster.database.query(`select from cluster.cluster_runners where address like '%${refused.address}%'`)
        ).toEqual([])

        for (const run of ["side-by-side", "alone"]) {
          yield* agent.approve(session(run), runId(run), "ann")
          yield* untilEvent(run, "Completed", "60 seconds")
          const seen = summary(yield* eventsOf(run))
          expect(seen.doubled).toEqual([])
          expect(seen.types.at(-1)).toBe("Completed")
        }
        const steps = new Set((yield* eventsOf("alone")).map(({ step }) => step))
        expect(steps).toContain("follow-up")

        // Nothing that it lacks is open any more.
        const back = yield* cluster.runner(2, { image: before })
        yield* back.ready
        expect((yield* ask("again", "hello")).workflow).toBe("AgentWorkflow")
        yield* untilEvent("again", "Completed", "60 seconds")
      }).pipe(Effect.provide(cluster.client))
    })
)
