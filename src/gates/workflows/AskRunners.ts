/**
 * Asks runners of the other releases whether they could carry what this database holds, by their own code.
 *
 * At `one-replica` runners of two releases are at work. This release's gate can tell what it would make of the old one's
 * work; what the old one makes of the new one's work, only the old one can tell. If it can't, a rollback is no way out any
 * more, and that is worth knowing before every runner has the new release.
 */
import { Effect, Schema } from "effect"
import { Answer, PATH } from "../../domain/CarryQuestion.ts"
import { type Check, Evidence, type Finding, type Severity } from "../Evidence.ts"

export interface Askable {
  readonly runner: string
  readonly release: string
  /** Undefined: of a release from before runners could be asked. */
  readonly port: number | undefined
}

export interface Options {
  readonly runners: ReadonlyArray<Askable>
  /** The release that asks. */
  readonly release: string
  /** The DNS name of a runner, with `{runner}` for its name. */
  readonly hosts: string
  /** A token for the runners' audience. */
  readonly token: Effect.Effect<string, { readonly message: string }>
  readonly timeoutMs?: number
}

export interface Asked {
  readonly findings: ReadonlyArray<Finding>
  readonly checks: ReadonlyArray<Check>
}

/** Longer than a runner takes at most, shorter than a hook may. */
const TIMEOUT_MS = 200_000
/** So many runners of a release are tried: they carry the same code, and one answer is enough. */
const TRIES = 3

const short = (release: string) => (/^[0-9a-f]{40}/.test(release) ? release.slice(0, 12) : release)

const post = (url: string, token: string, timeoutMs: number) =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      })
      const text = await response.text()
      if (response.status !== 200) throw new Error(`it answered ${response.status}: ${text.trim().slice(0, 300)}`)
      return text
    },
    catch: (cause) =>
      new Error(
        cause instanceof Error
          ? `${cause.message}${cause.cause instanceof Error ? `: ${cause.cause.message}` : ""}`
          : String(cause)
      )
  })

const decodeAnswer = Schema.decodeUnknown(Schema.parseJson(Answer))
const decodeEvidence = Schema.decodeUnknown(Evidence)

const answerOf = (runner: Askable, options: Options) =>
  Effect.gen(function* () {
    const token = yield* Effect.mapError(options.token, ({ message }) => new Error(message))
    const url = `http://${options.hosts.replaceAll("{runner}", runner.runner)}:${runner.port}${PATH}`
    const text = yield* post(url, token, options.timeoutMs ?? TIMEOUT_MS)
    const answer = yield* decodeAnswer(text)
    if (answer.release !== runner.release) {
      return yield* Effect.fail(new Error(`it carries ${short(answer.release)}, not ${short(runner.release)}`))
    }
    return yield* decodeEvidence(answer.evidence)
  })

const wordsOf: Readonly<Record<Severity, string>> = { hazard: "refused", undecided: "undecided", note: "noted" }

/** What an old release says against carrying on, told as this gate's own finding. */
const relayed = (release: string, evidence: Evidence): ReadonlyArray<Finding> =>
  evidence.findings
    .filter(({ severity }) => severity !== "note")
    .map((finding) => ({
      ...finding,
      rule: `old-${finding.rule}`,
      what: `Asked about what runs now, release ${short(release)} ${wordsOf[finding.severity]}: ${finding.what}`,
      why: `Runners of ${short(release)} are still at work and would meet this; and a rollback to it is no way out any more. ${finding.why}`
    }))

const unanswered = (release: string, tried: ReadonlyArray<string>): Finding => ({
  rule: "old-runner-silent",
  severity: "undecided",
  what: `No runner of release ${short(release)} said whether it can carry what was started since.`,
  where: tried.map((one) => one.split("\n")[0]).join("; "),
  why: "Whether a rollback would strand work is not known, and after this phase nobody is left to ask.",
  fix: "Look at those runners (their port for gates, their logs), then retry this job."
})

const unable = (release: string): Finding => ({
  rule: "old-runner-unable",
  severity: "note",
  what: `Release ${short(release)} is from before runners could be asked.`,
  where: `runners of ${short(release)}`,
  why: "Names and shapes of it are compared; its own code is not asked.",
  fix: "Nothing: the next release's runners can."
})

/** Asks one runner of each other release. */
export const ask = (options: Options): Effect.Effect<Asked> =>
  Effect.gen(function* () {
    const findings: Array<Finding> = []
    const checks: Array<Check> = []
    const others = [...new Set(options.runners.map(({ release }) => release))].filter((one) => one !== options.release)
    for (const release of others) {
      const runners = options.runners.filter((one) => one.release === release)
      const able = runners.filter(({ port }) => port !== undefined).slice(0, TRIES)
      if (able.length === 0) {
        findings.push(unable(release))
        continue
      }
      const tried: Array<string> = []
      let heard = false
      for (const runner of able) {
        const answer = yield* Effect.either(answerOf(runner, options))
        if (answer._tag === "Left") {
          tried.push(`${runner.runner}: ${answer.left.message}`)
          continue
        }
        heard = true
        findings.push(...relayed(release, answer.right))
        checks.push({
          name: "old release asked",
          result: `${runner.runner} (${short(release)}): ${answer.right.verdict}. ${answer.right.summary}`
        })
        break
      }
      if (!heard) findings.push(unanswered(release, tried))
    }
    return { findings, checks }
  })
