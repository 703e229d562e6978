/** What the page asks of its server: the state as it changes, a job's output, and Cloud Deploy's own methods. */
import type { State } from "../State.ts"

export type Link = "connecting" | "live" | "lost" | "locked"

const message = async (response: Response): Promise<string> => {
  const text = await response.text()
  try {
    return (JSON.parse(text) as { error: { message: string } }).error.message
  } catch {
    return `The server answered ${response.status}.`
  }
}

/** Gives every state as it comes. EventSource comes back by itself, except where the server refused it. */
export const follow = (onState: (state: State) => void, onLink: (link: Link) => void): (() => void) => {
  let ended = false
  let source: EventSource | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const open = () => {
    source = new EventSource("/console/events")
    source.addEventListener("state", (event) => {
      onLink("live")
      onState(JSON.parse((event as MessageEvent<string>).data) as State)
    })
    source.onerror = async () => {
      if (source?.readyState !== EventSource.CLOSED) return onLink("lost")
      const refused = await fetch("/console/state").then(
        ({ status }) => status === 401,
        () => false
      )
      onLink(refused ? "locked" : "lost")
      if (!ended) timer = setTimeout(open, 2_000)
    }
  }
  open()
  return () => {
    ended = true
    clearTimeout(timer)
    source?.close()
  }
}

/** Fails with the server's own words. */
export const post = async (path: string, body: object): Promise<void> => {
  const response = await fetch(`/v1/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  }).catch(() => {
    throw new Error("The server does not answer. Nothing was changed.")
  })
  if (!response.ok) throw new Error(await message(response))
}

export interface LogPart {
  readonly ended: boolean
  readonly lines: ReadonlyArray<string>
}

export const logFrom = async (jobRun: string, from: number): Promise<LogPart> => {
  const response = await fetch(`/console/log?jobRun=${encodeURIComponent(jobRun)}&from=${from}`)
  if (!response.ok) throw new Error(await message(response))
  return (await response.json()) as LogPart
}
