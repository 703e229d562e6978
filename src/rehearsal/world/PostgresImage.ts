/**
 * Postgres for pods: the binaries that a rehearsal on processes runs, as an image.
 *
 * So that both rehearse on one version: what a cluster can pull under the name `postgres:16` need not be 16, and the gates ask
 * for what 15 has not (`pg_prepared_statements.result_types`).
 */
import { cp, mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Effect } from "effect"
import { PreconditionMissing, ToolFailed } from "../Errors.ts"
import * as EmbeddedPostgres from "../postgres/EmbeddedPostgres.ts"
import { buildImage } from "../release/Push.ts"

/** `initdb` calls Postgres through a shell and asks for its user's name, so the base has both. */
const DOCKERFILE = `FROM node:24-bookworm-slim
COPY native /postgres
COPY start.sh /start.sh
ENV PATH=/postgres/bin:/usr/bin:/bin
USER 65534:65534
CMD ["sh", "/start.sh"]
`

/** Arguments go to the server. Settings of `initdb` as on processes; nobody but pods of the cluster reaches the port. */
const START = `set -eu
umask 077
printf '%s' "$POSTGRES_PASSWORD" > "$PGDATA.password"
initdb --pgdata="$PGDATA" --username=postgres --auth=scram-sha-256 --pwfile="$PGDATA.password" --encoding=UTF8 --locale=C --no-sync
rm "$PGDATA.password"
echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
exec postgres -D "$PGDATA" -c 'listen_addresses=*' -c unix_socket_directories= -c timezone=UTC "$@"
`

export const build = (options: {
  readonly command: string
  readonly folder: string
}): Effect.Effect<string, ToolFailed | PreconditionMissing> =>
  Effect.gen(function* () {
    if (process.platform !== "linux") {
      return yield* new PreconditionMissing({
        message: `A rehearsal on a cluster puts this machine's Postgres binaries into an image, so it starts from Linux only, not from ${process.platform}. Rehearse on processes here: deliver rehearse.`
      })
    }
    const binaries = yield* Effect.try({
      try: () => EmbeddedPostgres.binariesFrom(import.meta.dirname),
      catch: (cause) => new PreconditionMissing({ message: (cause as Error).message })
    })
    const context = join(options.folder, "postgres")
    yield* Effect.tryPromise({
      try: async () => {
        await mkdir(context, { recursive: true })
        await cp(dirname(binaries), join(context, "native"), { recursive: true, verbatimSymlinks: true })
        await writeFile(join(context, "start.sh"), START)
        await writeFile(join(context, "Dockerfile"), DOCKERFILE)
      },
      catch: (cause) => new ToolFailed({ message: `The image of Postgres can't be prepared: ${cause}` })
    })
    return yield* buildImage(options.command, context, "rehearsal-postgres:16")
  })
