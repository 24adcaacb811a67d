// The tab Data: what the check of the dataset found, with the images themselves.
import { $, counted, element, nameOf, problem, table } from './dom.js';
import { get, itemPath, showImage } from './api.js';

const LISTED = 50;

export async function showData(params, signal) {
  const place = $('data');
  place.replaceChildren(element('p', { class: 'muted' }, 'Checking the data …'));
  try {
    const report = await get('/v1/data', { signal });
    place.replaceChildren(...show(report));
  } catch (error) {
    if (error.name === 'AbortError') return;
    if (error.status === 503) {
      await new Promise((resolve) => { setTimeout(resolve, 2000); });
      return signal.aborted ? undefined : showData(params, signal);
    }
    if (error.status !== 404) return place.replaceChildren(problem(error));
    place.replaceChildren(element('p', {}, 'This server was started without a dataset. ', element('code', {}, 'gxn serve --data SOURCE'), ' shows its check here.'));
  }
}

function show(report) {
  const leaks = report.duplicates.filter(({ splits }) => splits.length > 1);
  const copies = report.duplicates.filter(({ splits }) => splits.length < 2);
  return [
    element('p', {}, `${report.name}, read as ${report.format}.`, element('span', { class: 'muted' }, ` ${report.account?.found?.join('; ') ?? ''}`)),
    ...report.fatal.map((text) => element('p', { class: 'alarm fatal' }, text)),
    ...report.warnings.map((text) => element('p', { class: 'alarm' }, text)),
    element('div', { class: 'panels' }, panel(splits(report)), panel(captions(report))),
    ...section('In more than one split', 'The same image trains and tests: scores are too good.', leaks.map(group)),
    ...section('Duplicates within a split', '', copies.map(group)),
    ...section('Unreadable', '', report.unreadable.map(left)),
    ...section('Left out', '', [...(report.account?.dropped ?? []), ...(report.account?.excluded ?? [])].map(left)),
    ...repeated(report.repeated_captions),
  ];
}

const panel = (...content) => element('div', { class: 'panel' }, ...content);

function splits({ splits: list, sizes, vocabulary }) {
  const share = ({ unknown, words }) => (words ? `${(100 * unknown / words).toFixed(1)} %` : '–');
  const rows = list.map(({ split, images, captions: texts, unknown_words: words }) => [split, images.toLocaleString('en'), texts.toLocaleString('en'), share(words)]);
  const between = sizes ? `Images from ${sizes[0].join(' × ')} to ${sizes[1].join(' × ')} pixels. ` : '';
  return element('div', {}, table('Splits', ['split', 'images', 'captions', 'unknown words'], rows),
    element('p', { class: 'muted small' }, `${between}${counted(vocabulary, 'word')} in the vocabulary of train.`));
}

function captions({ lengths, captions_per_image: perImage, long_words: long }) {
  const rows = [['shortest', lengths.least], ['median', lengths.median], ['95 % have at most', lengths.p95], ['longest', lengths.most],
    [`more than ${long} words`, lengths.long], ['without a word', lengths.wordless]];
  const counts = Object.entries(perImage).map(([captions, images]) => [captions, images.toLocaleString('en')]);
  return element('div', {}, table('Words of a caption', ['', 'words or captions'], rows.map(([name, value]) => [name, String(value)])),
    table('Captions of an image', ['captions', 'images'], counts));
}

function section(title, why, entries) {
  if (!entries.length) return [];
  const hidden = entries.length - LISTED;
  return [element('h2', {}, `${title}: ${entries.length.toLocaleString('en')}`), why ? element('p', { class: 'muted' }, why) : '',
    ...entries.slice(0, LISTED), hidden > 0 ? element('p', { class: 'muted' }, `and ${hidden.toLocaleString('en')} more`) : ''];
}

function group({ images, splits: where }) {
  const thumb = (id) => {
    const img = element('img', { alt: id, loading: 'lazy' });
    showImage(img, itemPath(id, '/thumb?side=256'));
    return element('li', {}, img, nameOf(id));
  };
  return element('div', { class: 'group' }, element('p', { class: 'small' }, `${counted(images.length, 'equal image')} in ${where.join(' and ')}`),
    element('ul', { class: 'thumbs' }, images.slice(0, 12).map(thumb)));
}

function left({ what, reason }) {
  return element('div', { class: 'group' }, element('b', {}, what), element('p', { class: 'small' }, reason));
}

function repeated(list) {
  if (!list.length) return [];
  return [element('h2', {}, 'Captions of several images'), panel(table('Most frequent first', ['caption', 'images'],
    list.slice(0, LISTED).map(({ text, images }) => [text, String(images)])))];
}
