import { Effect } from "effect"
import { type ExecutionRule, fine } from "../Rule.ts"

/** An open execution of a workflow that this release does not register. */
export const workflowGone: ExecutionRule = {
  name: "workflows",
  how: "names declared",
  judge: ({ workflow }, { declarations }) =>
    declarations.has(workflow)
      ? fine
      : Effect.succeed([
          {
            rule: "workflow-gone",
            severity: "hazard",
            subject: workflow,
            what: `Workflow ${workflow} has open executions, and this release does not declare it.`,
            why: "A runner that doesn't know a workflow never takes its messages up, and in the end answers them with a permanent failure: the executions are lost, and approvals with them.",
            fix: `Keep ${workflow} registered until none of its executions is open, and put the new one beside it.`
          }
        ])
}
