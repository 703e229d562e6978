# One image, several entry points: /app/runner.js, /app/gateway.js, /app/deliver.js. Manifests always name theirs.
#
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) -t agents .
#
# Base images are arguments. `make pin-images` writes the digest that each tag has today behind it (it asks the registries,
# so it needs a network); without one the tag alone is used, never a made-up digest.
ARG BUILD_IMAGE=node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
# What the lock file says (the Makefile tells why not `npm ci`). No install scripts: what the build needs (esbuild, squawk) comes
# as plain packages for this platform, and nobody else's code runs on the machine that makes the image.
RUN npm install --no-save --ignore-scripts --no-audit --no-fund
COPY tools/build.ts tools/
COPY migrations migrations
COPY src src
COPY tsconfig.json surface.json .squawk.tom[l] ./
ARG COMMIT
RUN test -n "${COMMIT}" || { echo "COMMIT is missing: --build-arg COMMIT=\$(git rev-parse HEAD)" >&2; exit 2; }
RUN node tools/build.ts --out /app --commit "${COMMIT}"

FROM ${RUNTIME_IMAGE}
# Distroless: no shell, no package manager; hence preStop's `sleep` action and exec-form commands only.
COPY --from=build /app /app
WORKDIR /app
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/.compile-cache
# Each program starts once here, finds no configuration and ends; what V8 has compiled by then stays in the image and is read
# at every start. Pods have a read-only root: they use the cache and never write it.
USER 0
RUN ["/nodejs/bin/node", "-e", "for (const name of ['runner', 'gateway', 'edge', 'deliver']) require('node:child_process').spawnSync(process.execPath, [`/app/${name}.js`, '--help'], { stdio: 'ignore', timeout: 30000 })"]
USER 65532:65532
CMD ["/app/runner.js"]
