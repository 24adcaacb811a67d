// The tab Train: the runs, and the curves, alarms and samples of one, live while it trains.
import { $, counted, element, problem } from './dom.js';
import { get, listen, showImage } from './api.js';
import { chart } from './chart.js';
import { picker } from './picker.js';

const REDRAW_MS = 1000;
const RETRY_MS = 3000;
const LOSS_POINTS = 400;

export async function showTrain(params, signal) {
  const place = $('train');
  place.replaceChildren(element('p', { class: 'muted' }, 'Loading …'));
  try {
    const { runs } = await get('/v1/runs', { signal });
    if (!runs.length) {
      place.replaceChildren(element('p', {}, 'This server knows no runs. Start it where the folder ', element('code', {}, 'runs'), ' is, or with ',
        element('code', {}, 'gxn serve --runs DIR'), '; ', element('code', {}, 'gxn train'), ' writes them.'));
      return;
    }
    const name = params.get('run') ?? (runs.find((run) => run.state === 'running') ?? runs[0]).name;
    const view = element('div');
    place.replaceChildren(picker('Runs', runs, name, 'train', 'run', ({ stage, state, epochs, best_rsum: best }) =>
      `${[stage, state, epochs !== undefined && `${epochs} epochs`].filter(Boolean).join(' · ')}${best ? ` · rsum ${best.toFixed(1)}` : ''}`), view);
    const state = runs.find((run) => run.name === name)?.state;
    await follow(view, name, state, signal);
  } catch (error) {
    if (error.name !== 'AbortError') place.replaceChildren(problem(error));
  }
}

async function follow(view, name, state, signal) {
  const path = `/v1/runs/${encodeURIComponent(name)}`;
  const run = await get(path, { signal });
  let waiting = null;
  const parts = frame(view, run);
  const draw = () => { waiting = null; if (!signal.aborted) show(parts, run, state); };
  draw();
  while (state === 'running' && !signal.aborted) {
    // A tab that nobody sees gives its connection back: a browser has six to a server.
    const away = new AbortController();
    const look = () => { if (document.hidden) away.abort(); };
    look();
    document.addEventListener('visibilitychange', look, { signal: AbortSignal.any([signal, away.signal]) });
    await listen(`${path}/events`, AbortSignal.any([signal, away.signal]), (data) => {
      add(run, JSON.parse(data));
      waiting ??= setTimeout(draw, REDRAW_MS);
    }).catch(() => {});
    // The run ended, or the connection did: what is true now is asked for.
    if (document.hidden) await new Promise((resolve) => { document.addEventListener('visibilitychange', resolve, { once: true }); });
    else await new Promise((resolve) => { setTimeout(resolve, RETRY_MS); });
    try {
      const { runs } = await get('/v1/runs', { signal });
      Object.assign(run, await get(path, { signal }));
      state = runs.find((other) => other.name === name)?.state;
    } catch (error) {
      if (error.status !== 0 && error.status !== 503) throw error;
    }
    draw();
  }
}

/** Takes in a line of the run's log. */
function add(run, line) {
  if (line.finished_epoch !== undefined || line.val) run.epochs.push(line);
  else if (line.alarm) run.alarms.push(line);
  else if (line.loss !== undefined) run.steps.push(line);
}

/** The parts of a run's page: what changes while it trains, and what does not. */
function frame(view, run) {
  const parts = { state: element('p'), alarms: element('div', { role: 'status' }), charts: element('div', { class: 'panels' }) };
  view.replaceChildren(...Object.values(parts), ...samples(run.samples ?? []),
    element('details', { class: 'panel' }, element('summary', {}, 'Configuration'), element('pre', { tabindex: '0' }, run.config ?? '')));
  return parts;
}

function show(parts, run, state) {
  const step = run.steps.at(-1)?.step ?? run.epochs.at(-1)?.step;
  const epoch = run.epochs.at(-1);
  parts.state.replaceChildren(element('span', { class: `state ${state}` }, state ?? 'unknown'),
    epoch ? ` ${counted(epochOf(epoch), 'finished epoch')}, step ${step}` : ' no epoch is finished yet');
  const { alarms } = run;
  if (parts.alarms.children.length !== alarms.length) parts.alarms.replaceChildren(...alarms.map((alarm) => element('p', { class: 'alarm' }, `After step ${alarm.step}: ${alarm.alarm}`)));
  [lossChart(run), ...metricCharts(run), ...otherCharts(run)].forEach((drawn, at) => {
    const panel = parts.charts.children[at] ?? parts.charts.appendChild(element('div', { class: 'panel' }));
    // A chart that is being read stays as it is.
    if (!panel.matches(':hover, :has(details[open])')) panel.replaceChildren(drawn);
  });
}

const epochOf = (line) => line.finished_epoch ?? line.epoch;

function lossChart({ steps, epochs }) {
  const mean = epochs.map((line) => [line.step, line.mean_loss ?? line.loss]).filter(([, y]) => y !== null && y !== undefined);
  return chart({ title: 'Loss', xName: 'step', digits: 3, series: [{ name: 'steps', points: thinned(steps) }, { name: 'mean of the epoch', points: mean }] });
}

/** Means over equal stretches, so that a long run has no more points than the chart has pixels. */
function thinned(steps) {
  const size = Math.max(1, Math.ceil(steps.length / LOSS_POINTS));
  const made = [];
  for (let at = 0; at < steps.length; at += size) {
    const part = steps.slice(at, at + size).filter(({ loss }) => Number.isFinite(loss));
    if (part.length) made.push([part.at(-1).step, part.reduce((sum, { loss }) => sum + loss, 0) / part.length]);
  }
  return made;
}

function series(epochs, names) {
  const points = (key) => epochs.filter((line) => Number.isFinite(line.val?.[key])).map((line) => [epochOf(line), line.val[key]]);
  return Object.entries(names).map(([key, name]) => ({ name, points: points(key) })).filter((line) => line.points.length);
}

function metricCharts({ epochs }) {
  const recalls = (side) => ({ [`${side}_r1`]: 'R@1', [`${side}_r5`]: 'R@5', [`${side}_r10`]: 'R@10' });
  return [
    { title: 'Image to text, recall on val in percent', series: series(epochs, recalls('i2t')) },
    { title: 'Text to image, recall on val in percent', series: series(epochs, recalls('t2i')) },
    { title: 'rsum on val', series: series(epochs, { rsum: 'rsum' }) },
  ].map((wanted) => chart({ xName: 'epoch', ...wanted }));
}

/** Whatever else the log has, as of the stages that generate. */
function otherCharts({ epochs }) {
  const known = /^(i2t|t2i)_|^(rsum|paper_sum|mean_recall)$|_recall@/;
  const keys = [...new Set(epochs.flatMap((line) => Object.keys(line.val ?? {})))].filter((key) => !known.test(key));
  const groups = Map.groupBy(keys, (key) => (key.endsWith('_spread') ? 'Spread of the embeddings (1 − mean cosine)' : key.replaceAll('_', ' ')));
  return [...groups].map(([title, names]) => chart({
    title, xName: 'epoch', digits: 3, series: series(epochs, Object.fromEntries(names.map((name) => [name, name.replaceAll('_', ' ')]))),
  }));
}

function samples(list) {
  if (!list.length) return [];
  const sheet = ({ name, url }) => {
    const img = element('img', { alt: `Generated images, ${name}`, loading: 'lazy' });
    showImage(img, url);
    return element('li', {}, img, element('span', { class: 'muted small' }, name));
  };
  return [element('h2', {}, 'Generated samples'), element('ul', { class: 'samples' }, list.map(sheet))];
}
