/** The gates' evidence about one rollout, as the page that `deliver evidence --html` writes. */
import { Effect, Either, Schema } from "effect"
import { Evidence } from "../../gates/Evidence.ts"
import * as EvidencePage from "../../gates/EvidencePage.ts"
import { fail, type GoogleError } from "../engine/GoogleError.ts"
import { lastOf, type Rollout } from "../engine/Resources.ts"
import type { Host } from "../host/HostClient.ts"
import { document, type Reply } from "./Reply.ts"

/** A rollout has four phases at most, and a gate may be tried some times. */
const RECORDS = 100
const ROLLOUT_ID = /^[a-z][a-z0-9-]{0,62}$/

const nothing = (id: string) =>
  document(
    `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>No evidence</title><style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem}</style><p>No gate has left evidence about ${id} yet. A gate writes its record when it ends.</p></html>`
  )

const decode = Schema.decodeUnknownEither(Evidence)

export const page = (host: Host, rollout: Rollout): Effect.Effect<Reply, GoogleError> =>
  Effect.gen(function* () {
    const id = lastOf(rollout.name)
    // It becomes part of a statement: the host's queries take no parameter of ours.
    if (!ROLLOUT_ID.test(id)) return yield* fail("INVALID_ARGUMENT", `"${id.slice(0, 80)}" is no rollout's id.`)
    const rows = yield* host
      .call("query", {
        target: rollout.targetId,
        text: `select evidence from (select evidence_id, evidence from agents.evidence where rollout = '${id}' and $1 = '%'
          order by evidence_id desc limit ${RECORDS}) as newest order by evidence_id`
      })
      .pipe(
        Effect.map(({ rows }) => rows as ReadonlyArray<{ readonly evidence: unknown }>),
        // The table comes with the first migration.
        Effect.orElseSucceed(() => [])
      )
    const records = rows.map(({ evidence }) => decode(evidence)).filter(Either.isRight)
    return records.length === 0 ? nothing(id) : document(EvidencePage.toHtml(records.map(({ right }) => right)))
  })
