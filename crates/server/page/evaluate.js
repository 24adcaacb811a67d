// The tab Evaluate: the reports, and the table, curves and failures of one.
import { $, counted, element, problem, table } from './dom.js';
import { get } from './api.js';
import { chart } from './chart.js';
import { picker } from './picker.js';
import { failures } from './failures.js';

const ROWS = [['r1', 'R@1, %'], ['r5', 'R@5, %'], ['r10', 'R@10, %'], ['medr', 'median rank'], ['meanr', 'mean rank']];
const DEEPEST = 100;

export async function showEvaluate(params, signal) {
  const place = $('evaluate');
  place.replaceChildren(element('p', { class: 'muted' }, 'Loading …'));
  try {
    const { reports } = await get('/v1/reports', { signal });
    if (!reports.length) {
      place.replaceChildren(element('p', {}, 'This server knows no reports. ', element('code', {}, 'gxn evaluate MODEL DATA -o runs/NAME.json'),
        ' writes one; the server reads those in the folder of ', element('code', {}, '--runs'), '.'));
      return;
    }
    const name = params.get('report') ?? reports[0].name;
    const view = element('div', {}, element('p', { class: 'muted' }, 'Loading …'));
    place.replaceChildren(picker('Reports', reports, name, 'evaluate', 'report', ({ model, split, rsum }) =>
      [model, split, rsum !== undefined && `rsum ${rsum.toFixed(1)}`].filter(Boolean).join(' · ')), view);
    const report = await get(`/v1/reports/${encodeURIComponent(name)}`, { signal });
    view.replaceChildren(...show(report, name, signal));
  } catch (error) {
    if (error.name !== 'AbortError') place.replaceChildren(problem(error));
  }
}

function show(report, name, signal) {
  const panel = (content) => element('div', { class: 'panel' }, content);
  const rule = [report.positives_rule && `right answers: ${report.positives_rule}`, report.tie_rule && `equal scores: ${report.tie_rule}`].filter(Boolean).join('; ');
  return [
    element('p', {}, `${report.dataset}, ${report.split}, protocol ${report.protocol}: ${counted(report.n_images, 'image')}, ${counted(report.n_captions, 'caption')}. `,
      element('span', { class: 'muted' }, rule)),
    element('div', { class: 'panels' }, panel(metrics(report)), panel(recallCurves(report))),
    ...(report.ranks ? [failures(report, name, signal)] : []),
  ];
}

function metrics({ metrics: values, ci95, precisions }) {
  const cell = (key) => {
    const [low, high] = ci95?.[key] ?? [];
    return element('span', {}, element('b', {}, values[key]?.toFixed(1) ?? '–'), low === undefined ? null : element('small', {}, ` [${low.toFixed(1)}, ${high.toFixed(1)}]`));
  };
  const rows = ROWS.map(([key, name]) => [name, cell(`i2t_${key}`), cell(`t2i_${key}`)]);
  const precise = (key, label) => [label, ...['i2t', 't2i'].map((side) => precisions[side][key].toFixed(1))];
  if (precisions) rows.push(precise('r_precision', 'R-Precision, %'), precise('map_at_r', 'mAP@R, %'));
  return element('div', {}, table('With 95 % confidence intervals', ['', 'image to text', 'text to image'], rows),
    table('Both directions', ['', 'value'], [['rsum', cell('rsum')], ["the paper's Sum", cell('paper_sum')], ['mean recall', cell('mean_recall')]]));
}

/** Share of the queries whose first right answer is among the first K, for K up to a hundred. */
function recallCurves({ ranks }) {
  if (!ranks) return element('p', { class: 'muted' }, 'This report has no ranks.');
  const line = (name, list) => {
    const within = new Array(DEEPEST + 1).fill(0);
    for (const rank of list) if (rank < DEEPEST) within[rank + 1] += 1;
    let sum = 0;
    return { name, points: within.map((count, k) => [k, 100 * (sum += count) / list.length]).slice(1) };
  };
  return chart({ title: 'Recall@K in percent', xName: 'K', log: true, series: [line('image to text', ranks.i2t), line('text to image', ranks.t2i)] });
}
