// Why an image was found: words by contribution, cells of the image by contribution, both captions compared.
import { element, problem } from './dom.js';
import { post } from './api.js';

/** Adds the explanation of `sentence` and the image `id`. */
export async function explanation(facts, photo, sentence, id, signal) {
  let found;
  try {
    found = await post('/v1/explain', { query: sentence, id }, { signal });
  } catch (error) {
    if (error.name !== 'AbortError') facts.append(problem(error));
    return;
  }
  facts.append(element('h3', {}, 'Why it was found'), words(found.words), scoreParts(found));
  if (found.cells) facts.append(...heatMap(photo, found.cells));
  if (found.caption) facts.append(...compared(found.caption));
}

/** Blue raises the score, red lowers it; the number is read out. */
function words(list) {
  const most = Math.max(...list.map(({ contribution }) => Math.abs(contribution)), 1e-6);
  return element('p', { class: 'words' }, list.map(({ word, contribution }) => element('span', {
    class: contribution < 0 ? 'lowers' : 'raises',
    '--share': Math.abs(contribution) / most,
    title: `without it the score changes by ${signed(-contribution)}`,
  }, word, element('small', {}, signed(contribution)))));
}

const signed = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(3)}`;

function scoreParts({ score, parts }) {
  const split = parts ? `: abstract ${parts.abstract.toFixed(3)}, grounded ${parts.grounded.toFixed(3)}` : '';
  return element('p', { class: 'muted small' }, `Score ${score.toFixed(3)}${split}`);
}

function heatMap(photo, { rows, columns, contribution }) {
  const most = Math.max(...contribution.map(Math.abs), 1e-6);
  const map = element('div', { class: 'heat', 'aria-hidden': 'true', '--rows': rows, '--columns': columns },
    contribution.map((value) => element('span', { class: value < 0 ? 'lowers' : 'raises', '--share': Math.abs(value) / most })));
  photo.append(map);
  const strongest = contribution.indexOf(Math.max(...contribution));
  const place = `row ${Math.floor(strongest / columns) + 1} of ${rows}, column ${strongest % columns + 1} of ${columns}`;
  const box = element('input', { type: 'checkbox', checked: true, onchange: (event) => { map.hidden = !event.target.checked; } });
  return [element('label', { class: 'small' }, box, ' Show where in the image'), element('p', { class: 'hidden' }, `Strongest: ${place}`)];
}

function compared({ text, shared, extra, missing }) {
  const list = (name, found) => (found?.length ? [element('dt', {}, name), element('dd', {}, found.join(', '))] : []);
  return [element('p', { class: 'small' }, `The generated caption, “${text}”, and the query:`),
    element('dl', { class: 'small' }, list('in both', shared), list('only generated', extra), list('only asked', missing))];
}
