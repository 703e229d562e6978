/** A pipeline as lanes, one a target in the pipeline's order: what runs there, what comes, and what a person may do. */
import { useState } from "preact/hooks"
import type { Act, Asked } from "./Ask.tsx"
import { post } from "./api.ts"
import { RolloutActions } from "./RolloutActions.tsx"
import { ago, nextRolloutId, nextTarget, type Pipeline, type Rollout, stateOf, type Target, wordOf } from "./words.ts"

/** Of a lane the newest; the rest unfolds. */
const SHOWN = 4

interface Props {
  readonly pipeline: Pipeline
  readonly chosen: string
  readonly choose: (name: string) => void
  readonly ask: (asked: Asked) => void
  readonly act: Act
}

const Steps = ({ rollout }: { readonly rollout: Rollout }) => (
  <ol class="steps" aria-label="phases">
    {rollout.phases.map((phase) => (
      <li key={phase.id} class={`step ${phase.advanceable ? "WAITS" : phase.state}`}>
        {phase.id} <span class="said">{phase.advanceable ? "waits" : wordOf(phase.state)}</span>
      </li>
    ))}
  </ol>
)

const Card = ({ rollout, props }: { readonly rollout: Rollout; readonly props: Props }) => {
  const { pipeline, chosen, choose, ask, act } = props
  const { tone, word } = stateOf(rollout)
  const next = nextTarget(pipeline, rollout)
  return (
    <li class={`card ${tone} ${rollout.name === chosen ? "chosen" : ""}`} data-rollout={rollout.id}>
      <button
        type="button"
        class="face"
        aria-expanded={rollout.name === chosen}
        onClick={() => choose(rollout.name === chosen ? "" : rollout.name)}
      >
        <span class="row">
          <strong>{rollout.release}</strong>
          {rollout.rollbackOf !== null && <span class="tag">rollback</span>}
        </span>
        <span class="row">
          <span class={`state ${tone}`}>{word}</span>
          <span class="dim">{ago(rollout.endTime ?? rollout.createTime, Date.now())}</span>
        </span>
      </button>
      <Steps rollout={rollout} />
      <RolloutActions rollout={rollout} ask={ask} act={act} />
      {next !== undefined && rollout.release === currentOf(pipeline, rollout.target) && (
        <div class="row">
          <button
            type="button"
            onClick={() =>
              act(() =>
                post(
                  `${pipeline.name}/releases/${rollout.release}/rollouts?rolloutId=${nextRolloutId(pipeline, rollout.release, next.id)}`,
                  { targetId: next.id }
                )
              )
            }
          >
            Promote to {next.id}
          </button>
        </div>
      )}
    </li>
  )
}

const currentOf = (pipeline: Pipeline, target: string) => pipeline.targets.find(({ id }) => id === target)?.current

const Lane = ({ target, props }: { readonly target: Target; readonly props: Props }) => {
  const { pipeline, ask } = props
  const [all, setAll] = useState(false)
  const rollouts = pipeline.rollouts.filter((rollout) => rollout.target === target.id)
  const shown = all ? rollouts : rollouts.slice(0, SHOWN)
  const rollBack = (): Asked => ({
    title: `Roll ${target.id} back`,
    text: "A rollback is a rollout of the earlier release with its own hooks: migrations go forward only, and the gates are asked again.",
    button: "Roll back",
    tone: "bad",
    choices: { label: "To release", values: target.rollbackChoices },
    reason: "Why",
    run: ({ choice, reason }) =>
      post(`${pipeline.name}:rollbackTarget`, {
        targetId: target.id,
        rolloutId: nextRolloutId(pipeline, choice, target.id),
        releaseId: choice,
        rollbackConfig: { startingPhaseId: "stable", rollout: { description: `Rollback: ${reason}` } }
      })
  })
  return (
    <section class="lane" aria-label={`target ${target.id}`}>
      <h3>
        {target.id}
        {target.requireApproval && <span class="tag">approval</span>}
      </h3>
      <p class="current">
        {target.current === null ? (
          <span class="dim">nothing runs here yet</span>
        ) : (
          <>
            <span class="dim">runs</span> <strong>{target.current}</strong>
          </>
        )}
      </p>
      {target.rollbackChoices.length > 0 && (
        <button type="button" onClick={() => ask(rollBack())}>
          Roll back…
        </button>
      )}
      {rollouts.length === 0 ? (
        <p class="dim">No rollout has come here.</p>
      ) : (
        <ol class="cards">
          {shown.map((rollout) => (
            <Card key={rollout.name} rollout={rollout} props={props} />
          ))}
        </ol>
      )}
      {rollouts.length > SHOWN && (
        <button type="button" class="plain" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show ${rollouts.length - SHOWN} earlier`}
        </button>
      )}
    </section>
  )
}

export const Lanes = (props: Props) => {
  const { pipeline } = props
  return (
    <>
      <div class="lanes">
        {pipeline.targets.map((target) => (
          <Lane key={target.id} target={target} props={props} />
        ))}
      </div>
      {pipeline.releases.length === 0 && <p class="dim">No release yet.</p>}
      {pipeline.releases
        .filter(({ renderState }) => renderState === "FAILED")
        .slice(0, 3)
        .map(({ id }) => (
          <p key={id} class="dim">
            Release <strong>{id}</strong> could not be rendered:{" "}
            <code>
              gcloud deploy releases describe {id} --delivery-pipeline={pipeline.id}
            </code>{" "}
            says why.
          </p>
        ))}
      {pipeline.automationRuns
        .filter(({ state }) => state === "PENDING" || state === "IN_PROGRESS")
        .map((run) => (
          <p key={run.id} class="dim">
            Automation <strong>{run.automation}</strong> ({run.rule}) acts on {run.target} at{" "}
            {new Date(run.dueTime).toLocaleTimeString()}.
          </p>
        ))}
    </>
  )
}
