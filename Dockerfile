# Every image of the project. SERVICE is firehose, sink-worker, crashloop-detector or standalone:
#   docker build --build-arg SERVICE=firehose -t hydrant-firehose .
# and the simulator, for the demo, is a target of its own:
#   docker build --target simulator --build-arg SERVICE=simulator -t hydrant-simulator .
# n.b. the classic builder has to build it too: no mounts, no here-documents, no COPY --chmod.
ARG NODE_IMAGE=node:24-bookworm-slim

# What npm reads and nothing else, so that changed sources install nothing anew.
FROM ${NODE_IMAGE} AS manifests
WORKDIR /src
COPY . .
RUN find . -type f ! -name package.json ! -name package-lock.json ! -name .npmrc -delete \
 && find . -mindepth 1 -type d -empty -delete

# What was compiled and what lies beside it; all else goes away again.
FROM ${NODE_IMAGE} AS build
WORKDIR /src
COPY --from=manifests /src .
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node_modules/.bin/tsc -b services/* simulator \
 && rm -rf node_modules */node_modules services/*/node_modules */src services/*/src */tsconfig.json services/*/tsconfig.json \
 && find . -path '*/dist/*' \( -name '*.d.ts' -o -name .tsbuildinfo \) -delete

# /app, laid out as the repository is: the packages that the service is made of, with what they depend on in production.
FROM ${NODE_IMAGE} AS package
ARG SERVICE
WORKDIR /src
COPY --from=manifests /src .
# n.b. npm links packages of this repository that others need for their tests alone, whatever it was told to omit; so these needs go first.
RUN if [ -d "services/$SERVICE" ]; then echo "services/$SERVICE" >/place; else echo "${SERVICE:?expected the name of a service}" >/place; fi \
 && npm pkg delete devDependencies --workspaces \
 && npm ci --omit=dev --workspace "$(cat /place)" --include-workspace-root=false --ignore-scripts --no-audit --no-fund
COPY --from=build /src /built
RUN set -e; mkdir /app; cp -a node_modules /built/LICENSE /built/scripts/healthcheck.mjs /app/; \
    for link in node_modules/@hydrant/*; do \
      place=$(realpath --relative-to=. "$link"); \
      mkdir -p "/app/$place"; cp -a "/built/$place/." "/app/$place/"; \
      if [ -d "$place/node_modules" ]; then cp -a "$place/node_modules" "/app/$place/"; fi; \
    done; \
    chmod +x "/app/$(cat /place)/dist/main.js"; ln -s "$(cat /place)/dist/main.js" /app/main.js; \
    if [ "$SERVICE" = simulator ]; then cp -a /built/fixtures /app/; echo 4646 >/app/http-port; \
    else SINK_TYPE=stdout /app/main.js --print-config | sed -n 's/^HTTP_PORT=//p' >/app/http-port; fi; \
    test -s /app/http-port

FROM ${NODE_IMAGE} AS runtime
# The first process of a container has to reap and to pass signals on. Not every engine brings one (`--init`), and a Nomad job should need no flag.
RUN apt-get update -q && apt-get install -y -q --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
 && mkdir /data && chown 1000:1000 /data
ENV NODE_ENV=production
WORKDIR /app
COPY --from=package /app .
USER 1000:1000
# Its first line says how Node is to be started.
ENTRYPOINT ["tini", "--", "/app/main.js"]
ARG SERVICE
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="hydrant-${SERVICE}" \
      org.opencontainers.image.description="Takes everything a Nomad cluster reports, keeps it safe, delivers it, and says when a task is crash-looping." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

FROM runtime AS simulator
ENV SIMULATOR_HOST=0.0.0.0
EXPOSE 4646
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["node", "/app/healthcheck.mjs", "/v1/agent/self"]

FROM runtime AS service
ENV HTTP_HOST=0.0.0.0 DATA_DIR=/data
# /livez and not /readyz: an orchestrator that replaces unhealthy containers should not do so because the broker is away.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["node", "/app/healthcheck.mjs", "/livez"]
