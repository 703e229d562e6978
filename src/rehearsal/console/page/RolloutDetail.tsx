/** One rollout: why it is where it is, its phases and jobs, what each job prints, and what the gates saw. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { Act, Asked } from "./Ask.tsx"
import { JobLog } from "./JobLog.tsx"
import { RolloutActions } from "./RolloutActions.tsx"
import { type Job, lasted, type Phase, type Rollout, stateOf, toneOf, wordOf } from "./words.ts"

interface Props {
  readonly rollout: Rollout
  readonly ask: (asked: Asked) => void
  readonly act: Act
  readonly close: () => void
}

/** The job whose output matters most: the one that runs, else the one that failed. */
const telling = (rollout: Rollout): string | null => {
  const jobs = rollout.phases.flatMap((phase) => phase.jobs)
  const found = jobs.find(({ state }) => state === "IN_PROGRESS") ?? jobs.find(({ state }) => state === "FAILED")
  return found?.jobRun ?? null
}

const JobRow = ({
  job,
  shown,
  show
}: {
  readonly job: Job
  readonly shown: boolean
  readonly show: (jobRun: string | null) => void
}) => (
  <>
    <tr>
      <th scope="row">
        {job.id}
        {job.actions.length > 0 && <span class="dim"> {job.actions.join(", ")}</span>}
      </th>
      <td>
        <span class={`state ${toneOf(job.state)}`}>{wordOf(job.state)}</span>
      </td>
      <td class="number">{lasted(job.startTime, job.endTime, Date.now())}</td>
      <td>
        {job.jobRun !== null && (
          <button type="button" class="plain" aria-expanded={shown} onClick={() => show(shown ? null : job.jobRun)}>
            {shown ? "Hide log" : "Log"}
          </button>
        )}
      </td>
    </tr>
    {job.failure !== null && (
      // Across all columns: on a phone one column is as wide as a word.
      <tr>
        <td colSpan={4} class="why">
          {job.failure}
        </td>
      </tr>
    )}
  </>
)

const PhaseTable = ({
  phase,
  log,
  show
}: {
  readonly phase: Phase
  readonly log: string | null
  readonly show: (jobRun: string | null) => void
}) => {
  const open = phase.jobs.find(({ jobRun }) => jobRun !== null && jobRun === log)
  return (
    <section class="phase" aria-label={`phase ${phase.id}`}>
      <h4>
        {phase.id}{" "}
        <span class={`state ${phase.advanceable ? "wait" : toneOf(phase.state)}`}>
          {phase.advanceable ? "waits" : wordOf(phase.state)}
        </span>
      </h4>
      <table>
        <tbody>
          {phase.jobs.map((job) => (
            <JobRow key={job.id} job={job} shown={open?.id === job.id} show={show} />
          ))}
        </tbody>
      </table>
      {open?.jobRun != null && <JobLog key={open.jobRun} jobRun={open.jobRun} name={`${phase.id} ${open.id}`} />}
    </section>
  )
}

export const RolloutDetail = ({ rollout, ask, act, close }: Props) => {
  // `undefined`: nobody chose, so the page follows what runs.
  const [chosen, setChosen] = useState<string | null>()
  const [evidence, setEvidence] = useState(false)
  const place = useRef<HTMLElement>(null)
  // On a phone it lies far below the card that was pressed.
  useEffect(() => place.current?.scrollIntoView({ block: "nearest" }), [])
  const log = chosen === undefined ? telling(rollout) : chosen
  const { tone, word } = stateOf(rollout)
  const evidenceUrl = `/console/evidence?rollout=${encodeURIComponent(rollout.name)}`
  return (
    <section class="detail" ref={place} aria-label={`rollout ${rollout.id}`}>
      <div class="row between">
        <h3>
          {rollout.id} <span class={`state ${tone}`}>{word}</span>
        </h3>
        <button type="button" class="plain" onClick={close}>
          Close
        </button>
      </div>
      {rollout.description !== "" && <p>{rollout.description}</p>}
      {rollout.failureReason !== null && rollout.state === "FAILED" && <p class="why">{rollout.failureReason}</p>}
      <RolloutActions rollout={rollout} ask={ask} act={act} all />
      <div class="phases">
        {rollout.phases
          .filter(({ state }) => state !== "SKIPPED")
          .map((phase) => (
            <PhaseTable key={phase.id} phase={phase} log={log} show={setChosen} />
          ))}
      </div>
      <div class="row">
        <button type="button" aria-expanded={evidence} onClick={() => setEvidence(!evidence)}>
          {evidence ? "Hide what the gates saw" : "What the gates saw"}
        </button>
        <a href={evidenceUrl} target="_blank" rel="noreferrer">
          as a page
        </a>
      </div>
      {evidence && <iframe title="gate evidence" src={evidenceUrl} />}
    </section>
  )
}
