/** How `deliver` and every gate ends. The same numbers on a laptop, in a Job of the cluster and in Cloud Build. */
export const ExitCode = {
  passed: 0,
  /** The tool itself failed: a bug, a crash, a broken connection. Says nothing about the release. */
  toolFailed: 1,
  /** The command line was wrong. */
  usage: 2,
  /** A hazard was found: the release must not go on. */
  refused: 10,
  /** Neither safe nor unsafe could be shown: a person must look. */
  undecided: 11,
  /** Something that must be there first is missing. */
  preconditionMissing: 12,
  /** A runner found open work in its database that it does not carry, and did not join the ring. */
  wouldStrand: 13
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]
