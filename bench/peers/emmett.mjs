// The same command in emmett's ordinary way: a decider, its command handler, the PostgreSQL store.
// Nothing has to be opened first: a stream without events is a gold member with six lots.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

const require = createRequire(join(process.env.BENCH_MODULES, 'bench.js'));
const { DeciderCommandHandler } = require('@event-driven-io/emmett');
const { getPostgreSQLEventStore } = require('@event-driven-io/emmett-postgresql');

const DAY = 86_400_000;
const PRICE = 1;
const AGAIN = { retry: { onVersionConflict: 10 } }; // somebody else was faster

const initialState = () => ({
  tier: 'gold',
  lots: Array.from({ length: 6 }, (_, i) => ({ id: i, points: 200_000, expires: Date.now() + (i + 1) * 180 * DAY })),
  visits: 0,
});

const decide = (command, state) => {
  const { shownPoints, club, service, desk } = command.data;
  if (state.tier !== 'gold' && state.tier !== 'diamond') throw new Error('tier');
  if (shownPoints !== PRICE) throw new Error('price');
  const now = Date.now();
  let left = PRICE;
  const uses = [];
  for (const lot of state.lots.filter((l) => l.points && l.expires > now).sort((a, b) => a.expires - b.expires)) {
    const used = Math.min(lot.points, left);
    uses.push({ lot: lot.id, points: used });
    left -= used;
    if (!left) break;
  }
  if (left) throw new Error('points');
  return { type: 'Visited', data: { club, service, desk, tier: state.tier, points: PRICE, uses } };
};

const evolve = (state, event) => ({
  ...state,
  visits: state.visits + 1,
  lots: state.lots.map((lot) => {
    const use = event.data.uses.find((u) => u.lot === lot.id);
    return use ? { ...lot, points: lot.points - use.points } : lot;
  }),
});

const handle = DeciderCommandHandler({ decide, evolve, initialState });

const drive = async (store, { clients, seconds, members }) => {
  const start = performance.now();
  const end = start + seconds * 1000;
  let count = 0;
  const work = async () => {
    while (performance.now() < end) {
      const member = 1 + Math.floor(Math.random() * members);
      const data = { club: 'health', service: 'escort', desk: 'd1', shownPoints: PRICE };
      await handle(store, `member-${member}`, { type: 'Visit', data }, AGAIN);
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: clients }, work));
  return { count, seconds: (performance.now() - start) / 1000 };
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const config = JSON.parse((await lines.next()).value);
const store = getPostgreSQLEventStore(config.url);
await store.schema.migrate();
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);
say({ ready: true });
for await (const line of lines) {
  try {
    say(await drive(store, JSON.parse(line)));
  } catch (error) {
    say({ fault: String(error.message).split('\n')[0] });
  }
}
await store.close();
