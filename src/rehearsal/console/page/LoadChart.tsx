/** Requests a second over the last minutes: answered, refused by a limit, failed. The words beside it say what the colours say. */
import type { State } from "../State.ts"

type Point = State["load"][number]["points"][number]

const MINUTES = 10
const WIDTH = 600
const HEIGHT = 80
/** What failed must be seen, however little it is of all. */
const SEEN = 8
const KINDS = ["failed", "refused", "answered"] as const
const NAMES = { answered: "answered", refused: "refused (429)", failed: "failed (5xx)" } as const

const said = (rate: number) => (rate === 0 ? "0" : rate < 10 ? rate.toFixed(1) : String(Math.round(rate)))

/** How many there were in all that is shown: what failed for a moment, minutes ago, must not read as nothing. */
const countOf = (points: ReadonlyArray<Point>, kind: (typeof KINDS)[number]) =>
  Math.round(
    points.reduce((sum, point, index) => {
      const before = points[index - 1]
      const seconds = before === undefined ? 5 : (Date.parse(point.at) - Date.parse(before.at)) / 1_000
      return sum + point[kind] * seconds
    }, 0)
  )

/** The next of 1, 2, 3, 5, 10 …: a scale that moved with each point could not be read. */
const ceiling = (most: number) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)))
  return [1, 2, 3, 5, 10].map((step) => step * power).find((top) => top >= most) ?? 10 * power
}

const Bar = ({
  point,
  x,
  width,
  top
}: {
  readonly point: Point
  readonly x: number
  readonly width: number
  readonly top: number
}) => {
  let y = HEIGHT
  return (
    <>
      {KINDS.map((kind) => {
        const height = point[kind] === 0 ? 0 : Math.max(kind === "answered" ? 0 : SEEN, (point[kind] / top) * HEIGHT)
        y -= height
        return height > 0 && <rect key={kind} class={kind} x={x} y={y} width={width} height={height} />
      })}
    </>
  )
}

export const LoadChart = ({ points, now }: { readonly points: ReadonlyArray<Point>; readonly now: number }) => {
  const from = now - MINUTES * 60_000
  const shown = points.filter(({ at, gateways }) => Date.parse(at) > from && gateways > 0)
  const last = shown.at(-1)
  if (last === undefined || Date.parse(last.at) < now - 30_000) {
    return <p class="dim">No gateway answers: there is no load to show.</p>
  }
  const top = ceiling(Math.max(...shown.map(({ answered, refused, failed }) => answered + refused + failed)))
  const inAll = (kind: (typeof KINDS)[number]) => {
    const count = kind === "answered" ? 0 : countOf(shown, kind)
    return count === 0 ? "" : `, ${count.toLocaleString("en")} in ${MINUTES} min`
  }
  const xOf = (at: string) => ((Date.parse(at) - from) / (now - from)) * WIDTH
  return (
    <figure class="load">
      <figcaption>
        <span class="dim">Requests a second, the last {MINUTES} min</span>
        <span class="dim">up to {top}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Requests a second: ${[...KINDS]
          .reverse()
          .map((kind) => `${NAMES[kind]} ${said(last[kind])}${inAll(kind)}`)
          .join(", ")}`}
      >
        {shown.map((point, index) => {
          const end = xOf(point.at)
          const before = shown[index - 1]
          // As wide as what it counts; a pause, when nobody looked, stays empty.
          const width = Math.min(before === undefined ? 5 : end - xOf(before.at), 8)
          return <Bar key={point.at} point={point} x={end - width} width={Math.max(1, width - 1)} top={top} />
        })}
      </svg>
      <ul>
        {[...KINDS].reverse().map((kind) => (
          <li key={kind} class={kind}>
            {NAMES[kind]} <strong>{said(last[kind])}</strong>
            {inAll(kind)}
          </li>
        ))}
      </ul>
    </figure>
  )
}
