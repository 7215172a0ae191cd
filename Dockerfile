# SPDX-License-Identifier: Apache-2.0
# Stage 1 builds the wheel (the contract's code is generated here) and installs it into one folder.
FROM python:3.11-slim AS build
WORKDIR /src
COPY . .
RUN python -m venv /opt/voiceauth \
 && /opt/voiceauth/bin/pip install --no-cache-dir --disable-pip-version-check .

# Stage 2 holds no compiler, no source tree and no package cache. The models and their manifest are in
# the installed wheel.
FROM python:3.11-slim
COPY --from=build /opt/voiceauth /opt/voiceauth
RUN useradd --system --uid 10001 --no-create-home voiceauth \
 && install -d -o voiceauth -g voiceauth -m 0700 /var/lib/voiceauth
USER voiceauth
ENV PATH=/opt/voiceauth/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VOICEAUTH_STORAGE__DATA_DIR=/var/lib/voiceauth
VOLUME /var/lib/voiceauth
EXPOSE 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["voiceauth", "health"]
STOPSIGNAL SIGTERM
# Listens on loopback: this version has no TLS of its own. docs/deployment.md says how to put a proxy
# before it.
ENTRYPOINT ["voiceauth"]
CMD ["serve"]
