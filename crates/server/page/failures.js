// Where a model fails: the worst queries first, what stands before the right image, and marks that correct the data.
import { button, counted, element, nameOf, problem, table } from './dom.js';
import { get, itemPath, post, showImage } from './api.js';
import { server } from './server.js';

const LISTED = 30;
const COMPARED = 20;
const DEEP = 100;

/** A panel of the worst captions of a report. Ranks come from the report; what stands before is searched for now. */
export function failures(report, name, signal) {
  const worst = worstCaptions(report);
  const list = element('ol', { class: 'failures' });
  const marks = { ranks: new Map(), place: element('p', { role: 'status' }), report, name };
  const more = button('Show more', () => extend());
  let next = 0;
  function extend() {
    for (const query of worst.slice(next, next + LISTED)) list.append(entry(query, marks, signal));
    next += LISTED;
    more.hidden = next >= worst.length;
  }
  extend();
  const confused = element('div');
  return element('div', { class: 'panel' }, element('h2', {}, 'Worst queries'),
    element('p', { class: 'muted small' }, 'Captions whose own image ranks low, as the report has it.'),
    button(`Which images stand in the way of the worst ${Math.min(COMPARED, worst.length)}?`, () => confusions(worst, report, confused, signal)),
    confused, marks.place, list, more);
}

/** Captions that are not found at once, worst first, each with its image and its place among that image's captions. */
function worstCaptions({ ranks, caption_image: images, image_ids: ids }) {
  const seen = new Map();
  const queries = ranks.t2i.map((rank, at) => {
    const nth = seen.get(images[at]) ?? 0;
    seen.set(images[at], nth + 1);
    return { rank, at, nth, image: ids[images[at]] };
  });
  return queries.filter(({ rank }) => rank > 0).sort((a, b) => b.rank - a.rank);
}

function entry(query, marks, signal) {
  const img = element('img', { alt: '', loading: 'lazy' });
  showImage(img, itemPath(query.image, '/thumb?side=128'));
  const text = element('p', {}, query.image);
  captionOf(query, signal).then((caption) => text.replaceChildren(caption?.text ?? `caption ${query.nth + 1} of ${query.image}`, rank(query))).catch(() => text.append(rank(query)));
  const before = element('div', { class: 'before' });
  const open = button('What stands before it?', async () => {
    open.disabled = true;
    await showBefore(query, before, marks, signal).catch((error) => before.replaceChildren(problem(error)));
  });
  return element('li', { class: 'failure' }, img, text, open, before);
}

const rank = (query) => element('span', { class: 'muted' }, ` its own image has rank ${query.rank + 1}`);

const items = new Map();

/** The caption of a query, from the index. Items are asked for once. */
async function captionOf({ image, nth }, signal) {
  if (!items.has(image)) items.set(image, get(itemPath(image), { signal }));
  const caption = (await items.get(image)).captions[nth];
  return typeof caption === 'string' ? { text: caption } : caption;
}

/** Searches as the report did: among the images of its split, where the index knows splits. */
async function ask(query, { split }, signal) {
  const caption = await captionOf(query, signal);
  if (!caption) throw new Error('The index does not hold this caption. Index the dataset that was evaluated, with its captions.');
  const { index } = await server();
  const filter = index.fields.includes('split') && ['train', 'val', 'test'].includes(split) ? `split=${split}` : null;
  const { hits } = await post('/v1/search', { query: [{ text: caption.text, weight: 1 }], target: 'image', top: DEEP, filter, group_duplicates: false }, { signal });
  return { caption, hits };
}

async function showBefore(query, place, marks, signal) {
  const { caption, hits } = await ask(query, marks.report, signal);
  const own = hits.findIndex((hit) => hit.id === query.image);
  const before = hits.slice(0, own < 0 ? 6 : Math.min(own, 6));
  const shown = own < 0 ? before : [...before, hits[own]];
  const now = own < 0 ? `is not among the first ${DEEP}` : `has rank ${own + 1}`;
  place.replaceChildren(element('p', { class: 'small muted' }, `In this index its own image ${now}.`),
    element('ul', { class: 'thumbs' }, shown.map((hit) => wrong(hit, hits.indexOf(hit), query, caption, marks))));
}

function wrong(hit, position, query, caption, marks) {
  const img = element('img', { alt: nameOf(hit.path), loading: 'lazy' });
  showImage(img, itemPath(hit.id, '/thumb?side=256'));
  const isOwn = hit.id === query.image;
  const mark = button('Also correct', async () => {
    mark.disabled = true;
    try {
      await post('/v1/relevance', { query: caption.id ?? caption.text, id: hit.id, report: marks.name });
      mark.textContent = 'Marked as correct';
      marks.ranks.set(query.at, Math.min(marks.ranks.get(query.at) ?? query.rank, position));
      tellMarks(marks);
    } catch (error) {
      mark.replaceWith(problem(error));
    }
  }, { 'aria-label': `${nameOf(hit.path)} is also correct for: ${caption.text}` });
  return element('li', { class: isOwn ? 'right' : '' }, img, `${position + 1}. ${isOwn ? 'its own image' : nameOf(hit.path)}`, isOwn ? null : mark);
}

/** Recall with and without the marks of this visit, text to image. */
function tellMarks({ ranks: marked, place, report, name }) {
  const recall = (list) => [1, 5, 10].map((k) => (100 * list.filter((rank) => rank < k).length / list.length).toFixed(2));
  const without = report.ranks.t2i;
  const withMarks = without.map((rank, at) => marked.get(at) ?? rank);
  place.replaceChildren(table('Text to image, in percent', ['', 'R@1', 'R@5', 'R@10'],
    [['without the marks', ...recall(without)], [`with ${counted(marked.size, 'caption')} marked`, ...recall(withMarks)]]),
    element('span', { class: 'muted small' }, `The marks are in relevance.tsv beside ${name}; `,
      element('code', {}, 'gxn evaluate --relevance relevance.tsv'), ' counts them in both directions.'));
}

/** Which images stand first in place of the right ones, most frequent first. */
async function confusions(worst, report, place, signal) {
  place.replaceChildren(element('p', { role: 'status' }, 'Searching …'));
  const pairs = new Map();
  try {
    for (const query of worst.slice(0, COMPARED)) {
      const { hits } = await ask(query, report, signal);
      const first = hits[0];
      if (!first || first.id === query.image) continue;
      const key = first.id;
      pairs.set(key, [...(pairs.get(key) ?? []), query.image]);
    }
    const thumb = (id) => { const img = element('img', { alt: id }); showImage(img, itemPath(id, '/thumb?side=128')); return img; };
    const rows = [...pairs].sort(([, a], [, b]) => b.length - a.length).slice(0, 10);
    place.replaceChildren(element('h3', {}, 'First instead of the right image'), element('ul', { class: 'thumbs' }, rows.map(([id, instead]) =>
      element('li', {}, thumb(id), `${counted(instead.length, 'time')}, instead of ${[...new Set(instead)].map(nameOf).join(', ')}`))));
  } catch (error) {
    if (error.name !== 'AbortError') place.replaceChildren(problem(error));
  }
}
