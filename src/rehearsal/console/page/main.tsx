/** The console: what it knows, what is chosen, and what was refused. Everything below is drawn from these. */
import { render } from "preact"
import { useEffect, useState } from "preact/hooks"
import type { State } from "../State.ts"
import { Ask, type Asked } from "./Ask.tsx"
import { follow, type Link } from "./api.ts"
import { Fleet } from "./Fleet.tsx"
import { Lanes } from "./Lanes.tsx"
import { RolloutDetail } from "./RolloutDetail.tsx"

const links: Readonly<Record<Link, string>> = {
  connecting: "connecting",
  live: "live",
  lost: "no connection, trying again",
  locked: "not let in"
}

/** The chosen rollout stands in the address, so that a link to it can be sent and a reload keeps it. */
const chosenNow = () => decodeURIComponent(location.hash.slice(1))

const Locked = () => (
  <section class="empty">
    <h2>This browser is not let in yet</h2>
    <p>
      Open the link that <code>deliver serve</code> printed. <code>deliver serve --env</code> shows it again.
    </p>
  </section>
)

const NoPipeline = () => (
  <section class="empty">
    <h2>No delivery pipeline yet</h2>
    <p>
      Push a commit to the remote that <code>deliver serve</code> printed; it brings its pipeline along:
    </p>
    <pre>git push rehearsal main</pre>
    <p>Or apply one with gcloud, and create a release:</p>
    <pre>{`eval "$(deliver serve --env)"
for file in clouddeploy/*.yaml; do gcloud deploy apply --file="$file"; done
gcloud deploy releases create r-1 --delivery-pipeline=agents \\
  --source=. --images="$(deliver images HEAD)"`}</pre>
  </section>
)

const Console = () => {
  const [state, setState] = useState<State>()
  const [link, setLink] = useState<Link>("connecting")
  const [chosen, setChosen] = useState(chosenNow())
  const [asked, setAsked] = useState<Asked>()
  const [refusal, setRefusal] = useState<string>()

  useEffect(() => follow(setState, setLink), [])
  useEffect(() => {
    const changed = () => setChosen(chosenNow())
    addEventListener("hashchange", changed)
    return () => removeEventListener("hashchange", changed)
  }, [])

  /** Carries out what a button says. What the server refuses is shown in its own words. */
  const act = (deed: () => Promise<void>) => {
    setRefusal(undefined)
    deed().catch((error: unknown) => setRefusal(error instanceof Error ? error.message : String(error)))
  }
  const choose = (name: string) => {
    location.hash = encodeURIComponent(name)
  }

  return (
    <>
      <header>
        <h1>Rehearsal</h1>
        <span class={`link ${link}`} role="status">
          {links[link]}
        </span>
        {state !== undefined && state.clockScale !== 1 && (
          <span class="dim">automations wait {state.clockScale} times shorter</span>
        )}
      </header>
      {refusal !== undefined && (
        <div class="refusal" role="alert">
          <p>{refusal}</p>
          <button type="button" onClick={() => setRefusal(undefined)}>
            Dismiss
          </button>
        </div>
      )}
      <main>
        {link === "locked" && <Locked />}
        {link !== "locked" && state === undefined && <p class="empty">Waiting for the server…</p>}
        {link !== "locked" && state !== undefined && state.pipelines.length === 0 && <NoPipeline />}
        {link !== "locked" &&
          state?.pipelines.map((pipeline) => {
            const rollout = pipeline.rollouts.find(({ name }) => name === chosen)
            return (
              <section key={pipeline.name} aria-label={`pipeline ${pipeline.id}`}>
                <h2>
                  {pipeline.id}
                  {pipeline.suspended && <span class="tag wait">suspended</span>}
                </h2>
                <Lanes pipeline={pipeline} chosen={chosen} choose={choose} ask={setAsked} act={act} />
                {rollout !== undefined && (
                  <RolloutDetail
                    key={rollout.name}
                    rollout={rollout}
                    ask={setAsked}
                    act={act}
                    close={() => choose("")}
                  />
                )}
              </section>
            )
          })}
        {link !== "locked" && state !== undefined && state.pipelines.length > 0 && <Fleet state={state} />}
      </main>
      {asked !== undefined && <Ask asked={asked} act={act} close={() => setAsked(undefined)} />}
    </>
  )
}

const root = document.getElementById("console")!
// Preact draws beside what is there already.
root.replaceChildren()
render(<Console />, root)
