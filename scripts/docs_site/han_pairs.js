// Before the code of the search in the Chinese site. A dictionary cuts one word differently in different sentences, so a page is not
// found by it. Instead every two neighboring characters are a word, in the text and in what is asked for; the last one also alone.
Intl.Segmenter = class {
  *segment(text) {
    for (const run of text.matchAll(/\p{Script=Han}+|[^\p{Script=Han}]+/gu)) {
      const characters = /\p{Script=Han}/u.test(run[0]) ? [...run[0]] : [];
      if (!characters.length) yield { segment: run[0], index: run.index, isWordLike: true };
      let index = run.index;
      for (const [position, character] of characters.entries()) {
        yield { segment: character + (characters[position + 1] ?? ""), index, isWordLike: true };
        index += character.length;
      }
    }
  }
};
