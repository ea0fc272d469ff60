// Item cards: a grid or a strip of pictures with titles, scores and a score's parts. Texts of the data are set as text,
// never as HTML.
function node(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  if (text !== undefined && text !== null) element.textContent = text;
  return element;
}

function picture(card) {
  const frame = node("div", "picture");
  if (card.image) {
    const image = node("img", card.small ? "small" : "");
    image.src = card.image;
    image.alt = card.title;
    image.loading = "lazy";
    frame.append(image);
  } else {
    frame.append(node("span", "none", "no picture"));
  }
  if (card.corner) frame.append(node("span", "corner", card.corner));
  if (card.mark) frame.append(node("span", "mark", card.mark));
  return frame;
}

function parts(card, scale) {
  const bar = node("div", "bar");
  bar.append(node("span", "zero"));
  let up = 0;
  let down = 0;
  for (const part of card.parts) {
    const width = (50 * Math.abs(part.value)) / scale;
    const piece = node("span", "piece");
    piece.style.width = `${width}%`;
    piece.style.left = part.value >= 0 ? `${50 + up}%` : `${50 - down - width}%`;
    piece.style.background = part.colour;
    piece.title = `${part.name}: ${part.value >= 0 ? "+" : ""}${part.value.toFixed(2)} above the catalogue's mean`;
    if (part.value >= 0) up += width;
    else down += width;
    bar.append(piece);
  }
  return bar;
}

function cardNode(card, data, clicked) {
  const element = node(data.clickable ? "button" : "div", `card ${card.tone || ""}`);
  element.title = `${card.title}\n${card.id}`;
  const text = node("div", "text");
  if (data.pictures) element.append(picture(card));
  else for (const [said, kind] of [[card.corner, "corner"], [card.mark, "mark"]])
    if (said) text.append(node("span", `flat ${kind}`, said));
  if (card.title_missing) text.append(node("div", "title missing", "no title"));
  else text.append(node("div", "title", card.title));
  if (card.note) text.append(node("div", "note", card.note));
  if (card.parts && card.parts.length) text.append(parts(card, data.scale));
  element.append(text);
  if (data.clickable) {
    element.type = "button";
    element.setAttribute("data-item", card.id);
    element.setAttribute("aria-label", `${data.action}: ${card.title}`);
    element.onclick = () => clicked(card);
  }
  return element;
}

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".cards");
  root.className = `cards ${data.layout}`;
  root.style.setProperty("--card", `${data.width}px`);
  const nodes = data.cards.map((card, place) =>
    cardNode(card, data, () => setTriggerValue("clicked", { item: card.id, place })),
  );
  root.replaceChildren(...nodes);
  if (data.newest) root.scrollLeft = root.scrollWidth;
}
