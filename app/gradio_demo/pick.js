// A click on a card tells the server which item, and what for.
element.addEventListener("click", (event) => {
  const card = event.target.closest("[data-item]");
  if (card) trigger('pick', { item: card.dataset.item, action: card.dataset.action });
});
