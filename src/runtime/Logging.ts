/**
 * Logs as Cloud Logging reads them: one JSON object a line, on stdout.
 *
 * | field                                  | meaning                                                                         |
 * |----------------------------------------|---------------------------------------------------------------------------------|
 * | `severity`, `message`, `time`          | what Cloud Logging takes as the entry's own                                     |
 * | `logging.googleapis.com/labels`        | who and what it is about: the names of `labels`, for filters and log metrics     |
 * | `logging.googleapis.com/trace`, `spanId` | the span in which it was said, so that trace and log find each other            |
 * | `stack_trace`                          | the cause, where Error Reporting looks for it                                   |
 *
 * Nothing that a person wrote or that opens a door belongs into a log. Our own messages carry none of it, but a cause may
 * quote what it failed on (a decoder its input, a driver its connection string): `scrub` takes that out of every text.
 */
import {
  Cause,
  Context,
  Effect,
  FiberRef,
  FiberRefs,
  HashSet,
  Inspectable,
  Layer,
  Logger,
  type LogLevel,
  Option,
  Tracer
} from "effect"

/** Annotations that become labels. Cloud Logging indexes labels; everything else is only stored. */
export const labels = [
  "tenant",
  "session",
  "run",
  "execution",
  "workflow",
  "activity",
  "model",
  "release",
  "pod"
] as const
type Label = (typeof labels)[number]

/** Other names under which parts of the code say the same. */
const synonyms: Readonly<Record<string, Label>> = {
  tenantId: "tenant",
  sessionId: "session",
  runId: "run",
  executionId: "execution"
}

/** Annotations whose value is somebody's words, token or address, whatever they look like. */
const NEVER =
  /^(message|text|input|output|prompt|by|subject|email|token|authorization|password|secret|api_?key|cookie|ip|ip_?address)$/i

const PATTERNS: ReadonlyArray<readonly [RegExp, string]> = [
  [/\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*/g, "<token>"],
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, "$1 <redacted>"],
  [/\bsk-[\w-]{6,}/g, "<key>"],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s:@/]*):[^\s@/]+@/gi, "$1:<redacted>@"],
  [/\b(password|passwd|secret|api[_-]?key|authorization)(["']?\s*[:=]\s*["']?)[^\s"',;}]+/gi, "$1$2<redacted>"],
  [/\b[\w.+-]+@[\w-]+(\.[\w-]+)+\b/g, "<email>"],
  // Schema's errors end with the value that did not fit; Postgres' details quote the row.
  [/, actual [^\n]*/g, ", actual <redacted>"],
  [/\bKey \(([^)]*)\)=\([^)]*\)/g, "Key ($1)=(<redacted>)"]
]

/** Without secrets and personal data, as far as their form tells. */
export const scrub = (text: string): string =>
  PATTERNS.reduce((scrubbed, [pattern, instead]) => scrubbed.replace(pattern, instead), text)

/** A log line is cut there: Cloud Logging refuses entries above 256 KiB. */
const MAX_TEXT = 16_384

const asText = (value: unknown): string => {
  const text =
    typeof value === "string" ? value : value instanceof Error ? value.message : Inspectable.stringifyCircular(value)
  return scrub(text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text)
}

const severities: Readonly<Record<LogLevel.LogLevel["_tag"], string>> = {
  All: "DEFAULT",
  None: "DEFAULT",
  Trace: "DEBUG",
  Debug: "DEBUG",
  Info: "INFO",
  Warning: "WARNING",
  Error: "ERROR",
  Fatal: "CRITICAL"
}

export interface LogIdentity {
  readonly pod: string
  /** The commit. */
  readonly release: string
  /** Google Cloud's project: without it Cloud Logging does not link an entry to its trace. */
  readonly project?: string | undefined
}

/** The entry as an object, for tests and for the line. */
export const entry =
  (identity: LogIdentity) =>
  ({
    annotations,
    cause,
    context,
    date,
    logLevel,
    message
  }: Logger.Logger.Options<unknown>): Record<string, unknown> => {
    const entryLabels: Partial<Record<Label, string>> = { release: identity.release, pod: identity.pod }
    const fields: Record<string, unknown> = {}
    for (const [key, value] of annotations) {
      const label = labels.find((name) => name === (synonyms[key] ?? key))
      if (label !== undefined) entryLabels[label] = asText(value)
      else if (NEVER.test(key)) fields[key] = "<redacted>"
      else fields[key] = typeof value === "number" || typeof value === "boolean" ? value : asText(value)
    }
    const span = Context.getOption(FiberRefs.getOrDefault(context, FiberRef.currentContext), Tracer.ParentSpan)
    const messages = Array.isArray(message) ? message : [message]
    return {
      severity: severities[logLevel._tag],
      message: messages.map(asText).join(" "),
      time: date.toISOString(),
      ...(Object.keys(fields).length === 0 ? {} : { fields }),
      ...(Cause.isEmpty(cause) ? {} : { stack_trace: asText(Cause.pretty(cause, { renderErrorCause: true })) }),
      "logging.googleapis.com/labels": entryLabels,
      ...Option.match(span, {
        onNone: () => ({}),
        onSome: ({ sampled, spanId, traceId }) => ({
          "logging.googleapis.com/trace":
            identity.project === undefined ? traceId : `projects/${identity.project}/traces/${traceId}`,
          "logging.googleapis.com/spanId": spanId,
          "logging.googleapis.com/trace_sampled": sampled
        })
      })
    }
  }

export const logger = (identity: LogIdentity): Logger.Logger<unknown, string> =>
  Logger.make((options) => JSON.stringify(entry(identity)(options)))

/**
 * All that is logged goes out as one line of JSON. Takes the place of every logger, not of the default one alone: given twice it
 * still writes once, and Effect's own that copies messages into spans, unscrubbed, is gone.
 */
export const layer = (identity: LogIdentity): Layer.Layer<never> =>
  Layer.scopedDiscard(
    Effect.locallyScoped(FiberRef.currentLoggers, HashSet.make(Logger.withConsoleLog(logger(identity))))
  )

/** Of a process, by its environment. */
export const fromEnv = (env: Readonly<Record<string, string | undefined>>, release: string): LogIdentity => ({
  pod: env["POD_NAME"] ?? env["HOSTNAME"] ?? "local",
  release,
  project: env["GOOGLE_CLOUD_PROJECT"] ?? env["CLOUD_DEPLOY_PROJECT"]
})
