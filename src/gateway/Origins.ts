/**
 * Which web pages may call: those of the origins that the configuration lists, and none where it lists none.
 *
 * Tokens travel in a header, never in a cookie, so a page of another origin has nothing to send in a user's name; this keeps
 * it from using what it was given for another page, and a browser from asking at all.
 */
import { HttpMiddleware } from "@effect/platform"
import { Context } from "effect"

/** As browsers write them in `Origin`: `https://app.example.com`. */
export class AllowedOrigins extends Context.Tag("gateway/AllowedOrigins")<AllowedOrigins, ReadonlyArray<string>>() {}

/** Whether a WebSocket may be opened. CORS does not reach them; clients that are no browsers send no origin. */
export const mayConnect = (allowed: ReadonlyArray<string>, origin: string | undefined): boolean =>
  allowed.length === 0 || origin === undefined || allowed.includes(origin)

const PREFLIGHT_SECONDS = 600

/** Answers preflights, and says in each answer to an allowed origin that its page may read it. */
export const cors = (allowed: ReadonlyArray<string>) =>
  HttpMiddleware.cors({
    // As a function: a list of one would be named in answers to everybody, and an empty one would allow all.
    allowedOrigins: (origin) => allowed.includes(origin),
    allowedMethods: ["GET", "POST"],
    allowedHeaders: ["authorization", "content-type", "traceparent"],
    exposedHeaders: ["retry-after"],
    maxAge: PREFLIGHT_SECONDS
  })
