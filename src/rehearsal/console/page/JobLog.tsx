/** What a job prints, while it prints it. Asks for what is new alone, and stops asking when the job has ended. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import { logFrom } from "./api.ts"

const EVERY_MS = 700
/** A page that keeps more than this grows slow; the whole log is with `gcloud`. */
const LINES = 2_000

export const JobLog = ({ jobRun, name }: { readonly jobRun: string; readonly name: string }) => {
  const [lines, setLines] = useState<ReadonlyArray<string>>([])
  const [said, setSaid] = useState("waiting for the first line")
  const box = useRef<HTMLPreElement>(null)
  const follows = useRef(true)

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined
    let stopped = false
    let seen = 0
    const ask = async () => {
      try {
        // A job that ends moves from the host's memory to the store, whose log may begin differently: read that one whole.
        const part = await logFrom(jobRun, seen)
        const whole = part.ended && seen > 0 ? await logFrom(jobRun, 0) : undefined
        if (stopped) return
        seen += part.lines.length
        setLines((before) => (whole === undefined ? [...before, ...part.lines] : whole.lines).slice(-LINES))
        if (part.ended) return setSaid("it printed nothing")
      } catch (error) {
        setSaid(error instanceof Error ? error.message : String(error))
      }
      if (!stopped) timer = setTimeout(ask, EVERY_MS)
    }
    void ask()
    return () => {
      stopped = true
      clearTimeout(timer)
    }
  }, [jobRun])

  // New lines push old ones up, unless a person has scrolled up to read.
  useLayoutEffect(() => {
    if (box.current !== null && follows.current) box.current.scrollTop = box.current.scrollHeight
  }, [lines])

  return (
    <section aria-label={`log of ${name}`}>
      <pre
        class="log"
        ref={box}
        onScroll={({ currentTarget }) => {
          const { scrollTop, clientHeight, scrollHeight } = currentTarget
          follows.current = scrollTop + clientHeight > scrollHeight - 8
        }}
      >
        {lines.length === 0 ? <span class="dim">{said}</span> : lines.join("\n")}
      </pre>
    </section>
  )
}
