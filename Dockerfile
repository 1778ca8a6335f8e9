FROM python:3.13-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /app

COPY requirements/run.txt requirements/
RUN pip install --quiet --require-hashes --only-binary :all: --requirement requirements/run.txt

COPY pyproject.toml LICENSE ./
COPY domain domain
COPY ledger ledger
COPY projections projections
COPY demo demo
COPY api api
RUN pip install --quiet --no-deps --no-build-isolation --editable . \
    && python -m compileall -q domain ledger projections demo api \
    && useradd --system --user-group --no-create-home --home-dir /var/lib/clubledger clubledger \
    && install --directory --owner clubledger --group clubledger --mode 0700 /var/lib/clubledger

USER clubledger
EXPOSE 8000
CMD ["clubledger", "serve", "--host", "0.0.0.0"]
