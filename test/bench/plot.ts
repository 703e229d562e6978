/** Horizontal bars as SVG, in groups: readable in a browser and on GitHub, by day and by night, and without colours. */

export interface Bar {
  readonly name: string
  readonly value: number
}
export interface Group {
  readonly title: string
  readonly bars: ReadonlyArray<Bar>
}

const WIDTH = 760
const LABEL = 290
const BAR = 20
const GAP = 8
const HEAD = 30

const escaped = (text: string) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const number = (value: number) => (value >= 100 ? value.toFixed(0) : value.toFixed(1))

/** Each group has a scale of its own: the longest bar is its greatest value. */
export const plot = (title: string, groups: ReadonlyArray<Group>, below: string): string => {
  const parts: Array<string> = []
  let y = 34
  for (const group of groups) {
    if (groups.length > 1) parts.push(`<text x="${LABEL}" y="${y + 16}" class="group">${escaped(group.title)}</text>`)
    y += groups.length > 1 ? HEAD : 10
    const most = Math.max(...group.bars.map(({ value }) => value))
    for (const { name, value } of group.bars) {
      const width = ((value / most) * (WIDTH - LABEL - 80)).toFixed(1)
      const middle = y + BAR / 2 + 4.5
      parts.push(
        `<text x="${LABEL - 10}" y="${middle}" text-anchor="end">${escaped(name)}</text>` +
          `<rect x="${LABEL}" y="${y}" width="${width}" height="${BAR}" rx="3" class="${name.startsWith("ours") ? "ours" : "other"}"/>` +
          `<text x="${LABEL + Number(width) + 8}" y="${middle}">${number(value)}</text>`
      )
      y += BAR + GAP
    }
  }
  const height = y + 26
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="${escaped(title)}">
<style>
text { fill: #24292f } .group { font-weight: 600 } .small { font-size: 11px; fill: #57606a } .paper { fill: #ffffff } .ours { fill: #2f6fde } .other { fill: #8a94a6 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } .paper { fill: #0d1117 } .ours { fill: #4c8dff } .other { fill: #6e7681 } }
</style>
<rect width="${WIDTH}" height="${height}" class="paper"/>
<text x="10" y="24" font-size="15" font-weight="600">${escaped(title)}</text>
${parts.join("\n")}
<text x="10" y="${height - 8}" class="small">${escaped(below)}</text>
</svg>
`
}
