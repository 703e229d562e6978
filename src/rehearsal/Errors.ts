/** How a rehearsal can end early. The message is for a person; the tag decides the exit code. */
import { Data } from "effect"

/** Something must be there, or be otherwise, before the rehearsal can start. Nothing was changed. */
export class PreconditionMissing extends Data.TaggedError("PreconditionMissing")<{ readonly message: string }> {}

/** A tool that the rehearsal needs failed. Says nothing about the release. */
export class ToolFailed extends Data.TaggedError("ToolFailed")<{ readonly message: string }> {}

/** The pipeline has no such target. */
export class TargetUnknown extends Data.TaggedError("TargetUnknown")<{ readonly message: string }> {}
