export interface Work {
  /** How many steps the workflow has, one after the other. */
  readonly steps: number
  /** What it is started with, and what each of its steps returns. */
  readonly text: string
}
export declare const serve: (start: (id: string, work: Work) => Promise<unknown>) => Promise<void>
