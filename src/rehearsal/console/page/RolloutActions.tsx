/** What a person may do with a rollout now. Each button is one method of Cloud Deploy's API. */
import type { Act, Asked } from "./Ask.tsx"
import { post } from "./api.ts"
import { isOver, type Rollout, waitsToAdvance } from "./words.ts"

interface Props {
  readonly rollout: Rollout
  readonly ask: (asked: Asked) => void
  readonly act: Act
  /** The rarer ones too. */
  readonly all?: boolean
}

export const failedJob = (rollout: Rollout) =>
  rollout.state !== "FAILED"
    ? undefined
    : rollout.phases
        .flatMap((phase) => phase.jobs.map((job) => ({ phaseId: phase.id, jobId: job.id, state: job.state })))
        .find(({ state }) => state === "FAILED" || state === "ABORTED")

export const RolloutActions = ({ rollout, ask, act, all = false }: Props) => {
  const phase = waitsToAdvance(rollout)
  const failed = failedJob(rollout)
  const where = `${rollout.release} on ${rollout.target}`
  const buttons = [
    rollout.state === "PENDING_APPROVAL" && (
      <button
        key="approve"
        type="button"
        class="main"
        onClick={() =>
          ask({
            title: `Approve ${where}`,
            text: "The rollout begins at once. Its gates still judge it before anything is deployed.",
            button: "Approve",
            run: () => post(`${rollout.name}:approve`, { approved: true })
          })
        }
      >
        Approve…
      </button>
    ),
    rollout.state === "PENDING_APPROVAL" && (
      <button
        key="reject"
        type="button"
        onClick={() =>
          ask({
            title: `Reject ${where}`,
            text: "A rejected rollout can't be approved later: promote the release again for another try.",
            button: "Reject",
            tone: "bad",
            run: () => post(`${rollout.name}:approve`, { approved: false })
          })
        }
      >
        Reject…
      </button>
    ),
    phase !== undefined && (
      <button
        key="advance"
        type="button"
        class="main"
        onClick={() => act(() => post(`${rollout.name}:advance`, { phaseId: phase.id }))}
      >
        Advance to {phase.id}
      </button>
    ),
    failed !== undefined && (
      <button
        key="retry"
        type="button"
        class="main"
        onClick={() => act(() => post(`${rollout.name}:retryJob`, { phaseId: failed.phaseId, jobId: failed.jobId }))}
      >
        Retry {failed.jobId}
      </button>
    ),
    all && failed !== undefined && (
      <button
        key="ignore"
        type="button"
        onClick={() =>
          ask({
            title: `Ignore ${failed.jobId} of ${where}`,
            text: "The rollout goes on as if this job had succeeded. What it would have caught goes on with it.",
            button: "Ignore it",
            tone: "bad",
            run: () => post(`${rollout.name}:ignoreJob`, { phaseId: failed.phaseId, jobId: failed.jobId })
          })
        }
      >
        Ignore {failed.jobId}…
      </button>
    ),
    all && !isOver(rollout) && rollout.state !== "CANCELLING" && (
      <button
        key="cancel"
        type="button"
        onClick={() =>
          ask({
            title: `Cancel ${where}`,
            text: "What was deployed so far stays deployed. Roll the target back to bring the earlier release back.",
            button: "Cancel the rollout",
            tone: "bad",
            run: () => post(`${rollout.name}:cancel`, {})
          })
        }
      >
        Cancel…
      </button>
    )
  ].filter((button) => button !== false)
  return buttons.length === 0 ? null : <div class="row">{buttons}</div>
}
