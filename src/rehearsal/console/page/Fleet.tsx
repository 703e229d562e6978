/** What runs, target by target: pods, runners by release, how much is asked of it, who owns how many shards, and what is open. */
import type { State } from "../State.ts"
import { LoadChart } from "./LoadChart.tsx"

type Runtime = State["runtimes"][number]

/** `effect-agent-runtime-0.` and what makes its session's name unique: the pod is what people know. */
const podOf = (owner: string) => owner.split(".")[0]!
const short = (release: string) =>
  /^[0-9a-f]{40}/.test(release) ? `${release.slice(0, 8)}${release.slice(40)}` : release

const Shards = ({ runtime, group }: { readonly runtime: Runtime; readonly group: string }) => {
  const owned = runtime.shards.filter((one) => one.group === group)
  const total = owned.reduce((sum, { shards }) => sum + shards, 0)
  const releases = new Map(runtime.runners.map(({ name, release }) => [name, release]))
  if (owned.length === 0) {
    return (
      <p class="why">
        Nobody owns the shards of <strong>{group}</strong>: what is sent there waits.
      </p>
    )
  }
  return (
    <table>
      <caption>
        Shards of <strong>{group}</strong> by owner
      </caption>
      <tbody>
        {owned.map(({ owner, shards }) => (
          <tr key={owner}>
            <th scope="row">
              {podOf(owner)}
              {releases.has(podOf(owner)) && <span class="dim"> {short(releases.get(podOf(owner))!)}</span>}
            </th>
            <td class="wide">
              <meter min={0} max={total} value={shards} aria-label={`shards of ${group} at ${podOf(owner)}`} />
            </td>
            <td class="number">{shards}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** All that are declared, and those that somebody owns all the same: a release before may have named others. */
const groupsOf = ({ groups, shards }: Runtime) => [...new Set([...groups, ...shards.map(({ group }) => group)])]

const Releases = ({ runtime }: { readonly runtime: Runtime }) => {
  const releases = new Map<string, number>()
  for (const { release } of runtime.runners) releases.set(release, (releases.get(release) ?? 0) + 1)
  return (
    <table>
      <caption>Runners by release</caption>
      <tbody>
        {[...releases].map(([release, runners]) => (
          <tr key={release}>
            <th scope="row">{short(release)}</th>
            <td class="number">{runners}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const Open = ({ runtime }: { readonly runtime: Runtime }) => (
  <table>
    <caption>Open executions</caption>
    <tbody>
      {runtime.open.map(({ workflow, release, open }) => (
        <tr key={`${workflow} ${release}`}>
          <th scope="row">
            {workflow} <span class="dim">begun by {short(release)}</span>
          </th>
          <td class="number">{open}</td>
        </tr>
      ))}
    </tbody>
  </table>
)

const Pods = ({ pods }: { readonly pods: State["fleet"] }) => (
  <table>
    <caption>Pods</caption>
    <tbody>
      {pods.map((pod) => (
        <tr key={pod.name}>
          <th scope="row">
            {pod.name}
            {pod.restarts > 0 && <span class="dim"> restarts: {pod.restarts}</span>}
          </th>
          <td class="number">
            <span class={`state ${pod.terminating ? "calm" : pod.ready ? "good" : "busy"}`}>
              {pod.terminating ? "stopping" : pod.ready ? "ready" : pod.phase.toLowerCase()}
            </span>
          </td>
        </tr>
      ))}
    </tbody>
  </table>
)

export const Fleet = ({ state }: { readonly state: State }) => (
  <section aria-label="fleet">
    <h2>Fleet</h2>
    {state.runtimes.length === 0 ? (
      <p class="empty">No target is open yet: the first rollout to one makes its cluster and database.</p>
    ) : (
      <div class="lanes">
        {state.runtimes.map((runtime) => {
          const pods = state.fleet
            .filter(({ target }) => target === runtime.target)
            .sort((a, b) => a.name.localeCompare(b.name))
          return (
            <section key={runtime.target} class="lane" aria-label={`fleet of ${runtime.target}`}>
              <h3>{runtime.target}</h3>
              {runtime.problem !== null && (
                <p class="why">
                  Its database could not be asked, so runners and open executions are missing here: {runtime.problem}
                </p>
              )}
              {pods.length === 0 ? <p class="dim">No pods.</p> : <Pods pods={pods} />}
              <LoadChart
                points={state.load.find(({ target }) => target === runtime.target)?.points ?? []}
                now={Date.parse(state.at)}
              />
              {runtime.runners.length > 0 && <Releases runtime={runtime} />}
              {runtime.runners.length > 0 &&
                groupsOf(runtime).map((group) => <Shards key={group} runtime={runtime} group={group} />)}
              {runtime.open.length > 0 && <Open runtime={runtime} />}
            </section>
          )
        })}
      </div>
    )}
  </section>
)
