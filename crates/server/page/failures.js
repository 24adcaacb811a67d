// Where a model fails: the worst queries first, what stands before the right answer, and marks that correct the data.
import { button, counted, element, nameOf, problem, table } from './dom.js';
import { itemPath, post, showImage } from './api.js';
import { DEEP, ask, captionOf, worstQueries } from './asked.js';
import { imageOf } from './hits.js';

const LISTED = 30;
const COMPARED = 20;
const BEFORE = 6;
const SIDES = {
  t2i: ['Text to image', 'Captions whose own image ranks low, as the report has it.', 'its own image has rank'],
  i2t: ['Image to text', 'Images whose own captions all rank low, as the report has it.', 'its first own caption has rank'],
};

/** A panel of the worst queries of a report. Ranks come from the report; what stands before is searched for now. */
export function failures(report, name, signal) {
  const marks = { ranks: { t2i: new Map(), i2t: new Map() }, place: element('div', { role: 'status' }), report, name };
  const view = element('div');
  const choose = (side) => view.replaceChildren(...worst(side, marks, signal));
  const radios = Object.entries(SIDES).map(([side, [label]]) => element('label', {},
    element('input', { type: 'radio', name: 'side', checked: side === 't2i', onchange: () => choose(side) }), ` ${label} `));
  choose('t2i');
  return element('div', { class: 'panel' }, element('h2', {}, 'Worst queries'),
    element('fieldset', { class: 'sides' }, element('legend', { class: 'hidden' }, 'Direction'), radios), marks.place, view);
}

function worst(side, marks, signal) {
  const queries = worstQueries(marks.report, side);
  const list = element('ol', { class: 'failures' });
  let next = 0;
  const more = button('Show more', () => extend());
  function extend() {
    list.append(...queries.slice(next, next + LISTED).map((query) => entry(query, marks, signal)));
    next += LISTED;
    more.hidden = next >= queries.length;
  }
  extend();
  const confused = element('div');
  const compared = queries.slice(0, COMPARED);
  const compare = button(`What comes first instead, for the worst ${compared.length}?`, () => confusions(compared, marks.report, confused, signal));
  return [element('p', { class: 'muted small' }, SIDES[side][1]), queries.length ? compare : element('p', {}, 'Every query is answered at once.'), confused, list, more];
}

function thumb(id, side, alt = '') {
  const img = element('img', { alt, loading: 'lazy' });
  showImage(img, itemPath(id, `/thumb?side=${side}`));
  return img;
}

function entry(query, marks, signal) {
  const rank = element('span', { class: 'muted' }, ` ${SIDES[query.side][2]} ${query.rank + 1}`);
  const text = element('p', {}, nameOf(query.image), rank);
  if (query.side === 't2i') {
    captionOf(query, signal).then((caption) => text.replaceChildren(caption?.text ?? `caption ${query.nth + 1} of ${query.image}`, rank)).catch(() => {});
  }
  const before = element('div', { class: 'before' });
  const open = button('What stands before it?', async () => {
    open.disabled = true;
    await showBefore(query, before, marks, signal).catch((error) => before.replaceChildren(problem(error)));
  });
  return element('li', { class: 'failure' }, thumb(query.image, 128), text, open, before);
}

async function showBefore(query, place, marks, signal) {
  const { caption, hits } = await ask(query, marks.report, signal);
  const right = hits.findIndex((hit) => hit.right);
  const before = hits.slice(0, right < 0 ? BEFORE : Math.min(right, BEFORE));
  const shown = right < 0 ? before : [...before, hits[right]];
  const now = right < 0 ? `is not among the first ${DEEP}` : `has rank ${right + 1}`;
  place.replaceChildren(element('p', { class: 'small muted' }, `In this index its own answer ${now}.`),
    element('ul', { class: 'thumbs' }, shown.map((hit) => answer(hit, hits.indexOf(hit), query, caption, marks))));
}

function answer(hit, position, query, caption, marks) {
  const name = hit.caption ?? nameOf(hit.path);
  const mark = button('Also correct', async () => {
    mark.disabled = true;
    try {
      const pair = query.side === 't2i' ? { query: caption.id, id: hit.id } : { query: hit.id, id: query.image };
      await post('/v1/relevance', { ...pair, report: marks.name });
      mark.textContent = 'Marked as correct';
      const ranks = marks.ranks[query.side];
      ranks.set(query.at, Math.min(ranks.get(query.at) ?? query.rank, position));
      tellMarks(marks);
    } catch (error) {
      mark.replaceWith(problem(error));
    }
  }, { 'aria-label': `${name} is also correct for ${caption?.text ?? nameOf(query.image)}` });
  return element('li', { class: hit.right ? 'right' : '' }, thumb(imageOf(hit), 256, nameOf(hit.path)), `${position + 1}. ${name}`,
    hit.right ? element('b', {}, ' (its own)') : mark);
}

/** Recall with and without the marks of this visit. */
function tellMarks({ ranks, place, report, name }) {
  const recall = (list) => [1, 5, 10].map((k) => (100 * list.filter((rank) => rank < k).length / list.length).toFixed(2));
  const rows = Object.entries(SIDES).filter(([side]) => ranks[side].size).flatMap(([side, [label]]) => {
    const before = report.ranks[side];
    const after = before.map((rank, at) => ranks[side].get(at) ?? rank);
    return [[`${label}, without the marks`, ...recall(before)], [`with the marks of ${counted(ranks[side].size, side === 't2i' ? 'caption' : 'image')}`, ...recall(after)]];
  });
  place.replaceChildren(table('Recall in percent', ['', 'R@1', 'R@5', 'R@10'], rows),
    element('p', { class: 'muted small' }, `The marks are in relevance.tsv beside ${name}; `,
      element('code', {}, 'gxn evaluate --relevance relevance.tsv'), ' counts each in both directions.'));
}

/** Which images come first in place of the right ones, most frequent first. */
async function confusions(queries, report, place, signal) {
  place.replaceChildren(element('p', { role: 'status' }, 'Searching …'));
  const instead = new Map();
  try {
    for (const query of queries) {
      const [first] = (await ask(query, report, signal)).hits;
      if (!first || first.right) continue;
      const id = imageOf(first);
      instead.set(id, (instead.get(id) ?? new Set()).add(query.image));
    }
    const rows = [...instead].sort(([, a], [, b]) => b.size - a.size).slice(0, 10);
    place.replaceChildren(element('h3', {}, 'First instead of the right one'), element('ul', { class: 'thumbs' }, rows.map(([id, images]) =>
      element('li', {}, thumb(id, 256, nameOf(id)), 'instead of', element('div', { class: 'instead' }, [...images].slice(0, 4).map((image) => thumb(image, 128, nameOf(image))))))));
  } catch (error) {
    if (error.name !== 'AbortError') place.replaceChildren(problem(error));
  }
}
