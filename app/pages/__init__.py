"""The pages of the Streamlit app, thin: what they are made of stands in `app.ui`."""
