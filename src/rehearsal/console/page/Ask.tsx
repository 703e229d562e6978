/** One question before something is done: the browser's own dialog, so that Escape and Tab do what people expect. */
import { useEffect, useRef, useState } from "preact/hooks"

export interface Asked {
  readonly title: string
  readonly text: string
  readonly button: string
  readonly tone?: "bad"
  /** Several to choose from; the first is proposed. */
  readonly choices?: { readonly label: string; readonly values: ReadonlyArray<string> }
  /** Asked for, and needed. */
  readonly reason?: string
  readonly run: (given: { readonly choice: string; readonly reason: string }) => Promise<void>
}

export type Act = (deed: () => Promise<void>) => void

export const Ask = ({
  asked,
  act,
  close
}: {
  readonly asked: Asked
  readonly act: Act
  readonly close: () => void
}) => {
  const dialog = useRef<HTMLDialogElement>(null)
  const [choice, setChoice] = useState(asked.choices?.values[0] ?? "")
  const [reason, setReason] = useState("")
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="asked">
      <form method="dialog" onSubmit={() => act(() => asked.run({ choice, reason: reason.trim() }))}>
        <h2 id="asked">{asked.title}</h2>
        <p>{asked.text}</p>
        {asked.choices !== undefined && (
          <label>
            {asked.choices.label}
            <select value={choice} onChange={({ currentTarget }) => setChoice(currentTarget.value)}>
              {asked.choices.values.map((value, index) => (
                <option key={value} value={value}>
                  {index === 0 ? `${value} (last good)` : value}
                </option>
              ))}
            </select>
          </label>
        )}
        {asked.reason !== undefined && (
          <label>
            {asked.reason}
            <textarea
              rows={3}
              required
              maxLength={500}
              value={reason}
              onInput={({ currentTarget }) => setReason(currentTarget.value)}
            />
          </label>
        )}
        <div class="row end">
          <button type="button" onClick={() => dialog.current?.close()}>
            Go back
          </button>
          <button type="submit" class={asked.tone === "bad" ? "bad" : "main"}>
            {asked.button}
          </button>
        </div>
      </form>
    </dialog>
  )
}
