/** Whether the record of a release in its target's database is whole: what `deliver release show` prints months later. */
import { Effect } from "effect"
import type { ToolFailed } from "./Errors.ts"
import type { Release } from "./release/Release.ts"
import type { Target } from "./Target.ts"

const ROLLOUTS = `select rollout, approval->>'state' as state, approval->>'by' as by, unknown,
  coalesce(jsonb_array_length(jobs), 0) as jobs, jsonb_array_length(images) as images
from agents.rollouts where starts_with(rollout, $1) order by recorded_at`

interface Row {
  readonly rollout: string
  readonly state: string | null
  readonly by: string | null
  readonly unknown: ReadonlyArray<string>
  readonly jobs: number
  readonly images: number
}

export interface Recorded {
  readonly lines: ReadonlyArray<string>
  readonly problems: ReadonlyArray<string>
}

/** Pure. `told` says whether hooks could ask anyone. */
export const judge = (rows: ReadonlyArray<Row>, target: string, told: boolean): Recorded => ({
  lines: rows.map(({ rollout, state, by, jobs, images }) =>
    state === null
      ? `on record: ${rollout}, not who approved it nor when its jobs ran: pods can't reach this machine to ask`
      : `on record: ${rollout}, ${state === "APPROVED" ? `approved by ${by}` : "no approval needed"}, ${images} images, ${jobs} jobs`
  ),
  problems: [
    ...(rows.length === 0 ? [`Nothing is on record of this commit's rollout to ${target}.`] : []),
    ...(told
      ? rows.flatMap(({ rollout, unknown, jobs }) =>
          unknown.length > 0 || jobs === 0
            ? [`The record of ${rollout} lacks ${unknown.join("; ") || "its jobs"}.`]
            : []
        )
      : [])
  ]
})

export const check = (target: Target, release: Release): Effect.Effect<Recorded, ToolFailed> =>
  target.platform
    .query<Row>(ROLLOUTS, `${release.name}-to-`)
    .pipe(Effect.map((rows) => judge(rows, target.stage.targetId, target.api !== undefined)))
